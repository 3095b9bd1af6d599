"""Failures of stage attempts: their classes, and one table with the policy of each class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from setpoint.artifacts import DamagedError, Fields, read_json
from setpoint.plain_text import message_line

SCHEMA = 1


class FailureClass(StrEnum):
    """Failure classes, assigned from exceptions, limits and signals, never from log text."""

    CONFIG = "config"
    """A value, name or file is invalid."""
    DATA = "data"
    """A dataset or the result of another stage is invalid."""
    DIVERGED = "diverged"
    """Training produced values that are not finite."""
    NO_LEARNING_SIGNAL = "no_learning_signal"
    """Every completion of GRPO earned the same reward."""
    GPU_OOM = "gpu_oom"
    """GPU memory ran out with the smallest micro-batch."""
    HOST_OOM = "host_oom"
    """Memory of the host, or of the job, ran out."""
    STORAGE = "storage"
    """The disk is full or not writable."""
    TRANSIENT = "transient"
    """A connection or file system failed temporarily."""
    NODE_FAILURE = "node_failure"
    """A GPU or node reported a hardware error."""
    TIMEOUT = "timeout"
    """The attempt reached its time limit."""
    PREEMPTED = "preempted"
    """The attempt was asked to stop, and saved its state."""
    STALLED = "stalled"
    """The attempt made no progress within the stall limit."""
    CORRUPT_ARTIFACT = "corrupt_artifact"
    """A file does not have its recorded content."""
    CRASH = "crash"
    """Any other exception, or a signal such as SIGSEGV that points to a bug."""
    CANCELLED = "cancelled"
    """A user cancelled the job."""
    LOST = "lost"
    """The worker was killed or disappeared before it wrote a result."""
    MISSING_RESULT = "missing_result"
    """A cluster job ended with success, but its result did not appear in the workspace within a minute."""
    BLOCKED = "blocked"
    """For runs only: an upstream stage failed."""
    NO_VALUE = "no_value"
    """For rows of an external table only: the response is missing."""

    @property
    def policy(self) -> "FailurePolicy":
        """Policy for failures of this class."""
        return POLICIES[self]


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """Consequences of a failure.

    Attributes:
        suggestion: default remedy, if the stage or the run gives no more specific one.
        retries: maximum number of automatic retries.
        pauses: whether retries are delayed by an increasing pause.
        resumes: whether it stops the experiment, and is retried when the experiment is resumed.
        final: whether a retry with the same values would fail again, so that only a new experiment helps.
        result: whether it is determined by the configuration alone, so that other experiments with the same stage
            share it. Such a failure is also final.
    """

    suggestion: str
    retries: int = 0
    pauses: bool = False
    resumes: bool = False
    final: bool = False
    result: bool = False


POLICIES: Mapping[FailureClass, FailurePolicy] = MappingProxyType(
    {
        FailureClass.CONFIG: FailurePolicy("correct the value that the message names", final=True),
        FailureClass.DATA: FailurePolicy("check the dataset that the message names, or generate it again"),
        FailureClass.DIVERGED: FailurePolicy("use a lower learning_rate", final=True, result=True),
        FailureClass.NO_LEARNING_SIGNAL: FailurePolicy(
            "use a higher grpo.temperature, more SFT before GRPO, or another reward", final=True, result=True
        ),
        FailureClass.GPU_OOM: FailurePolicy("use a smaller batch_size or lora_rank, or a GPU with more memory"),
        FailureClass.HOST_OOM: FailurePolicy(
            "use fewer --workers or a smaller batch_size, or give each run more memory", retries=1
        ),
        FailureClass.STORAGE: FailurePolicy(
            "free space on the disk or name another --workspace, then resume", resumes=True
        ),
        FailureClass.TRANSIENT: FailurePolicy(
            "retry; if the file system or connection fails often, tell its administrator", retries=2, pauses=True
        ),
        FailureClass.NODE_FAILURE: FailurePolicy(
            "retry on another GPU or node; the device reported a hardware error", retries=2, pauses=True
        ),
        FailureClass.TIMEOUT: FailurePolicy(
            "allow more time (--time-limit-min), or use fewer steps; the stage continues from its checkpoint", retries=3
        ),
        FailureClass.PREEMPTED: FailurePolicy("resume; the stage continues from its checkpoint", retries=5),
        FailureClass.STALLED: FailurePolicy(
            "check the end of stderr.log; raise --stall-limit-min if the stage is slow but not hung", retries=1
        ),
        FailureClass.CORRUPT_ARTIFACT: FailurePolicy("check the disk; the stage is computed again", retries=2),
        FailureClass.CRASH: FailurePolicy(
            "retry; if it fails the same way, report the traceback in stderr.log of the attempt", retries=1
        ),
        FailureClass.CANCELLED: FailurePolicy("a user cancelled it; retry it if the result is still needed"),
        FailureClass.LOST: FailurePolicy(
            "retry; if the worker is lost again, give it more memory or find out what killed it", retries=1
        ),
        FailureClass.MISSING_RESULT: FailurePolicy(
            "check that this machine and the nodes see the same workspace, then retry", retries=1, pauses=True
        ),
        FailureClass.BLOCKED: FailurePolicy("fix the upstream stage; this run then resumes automatically"),
        FailureClass.NO_VALUE: FailurePolicy("fill in the response, or remove the row"),
    }
)
STAGE_CLASSES = frozenset(FailureClass) - {FailureClass.BLOCKED, FailureClass.NO_VALUE}
"""Failure classes of stage attempts."""
RETRYABLE = tuple(sorted(name for name, policy in POLICIES.items() if policy.retries))
"""Failure classes that are retried automatically."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of an attempt: the content of failure.json.

    Attributes:
        message: one line.
        evidence: measured values that show the failure.
        suggestion: what to do about it.
        exception: type of the exception, if there was one.
    """

    failure_class: FailureClass
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    suggestion: str = ""
    exception: str | None = None
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the content of failure.json."""
        return {
            "schema": SCHEMA,
            "failure_class": self.failure_class.value,
            "message": self.message,
            "exception": self.exception,
            "traceback": self.traceback,
            "evidence": dict(self.evidence),
            "suggestion": self.suggestion,
        }

    def evidence_text(self, name: str) -> str:
        """Return a text of the evidence; empty if missing."""
        found = self.evidence.get(name)
        return message_line(found) if isinstance(found, str) else ""


def failure_of(failure_class: FailureClass, message: str, evidence: Mapping[str, Any]) -> Failure:
    """Return a failure that was detected outside the worker, with the suggestion of its class."""
    return Failure(failure_class, message, evidence, failure_class.policy.suggestion)


def read_failure(path: Path) -> Failure | None:
    """Read the failure in `path`; None if there is no file. A damaged file is itself a `corrupt_artifact` failure."""
    content = read_json(path)
    if content is None and not path.exists():
        return None
    try:
        fields = Fields(content, path)
        return Failure(
            failure_class=_class(fields, path),
            message=fields.line("message"),
            evidence=fields.table("evidence", {}),
            suggestion=fields.optional_line("suggestion") or "",
            exception=fields.optional_line("exception"),
            traceback=fields.optional_text("traceback"),
        )
    except DamagedError as error:
        return failure_of(FailureClass.CORRUPT_ARTIFACT, str(error), {})


def _class(fields: Fields, path: Path) -> FailureClass:
    name = fields.text("failure_class")
    if name not in STAGE_CLASSES:
        raise DamagedError(f"{str(path)!r} is damaged: failure_class must be a known class, got {name[:80]!r}.")
    return FailureClass(name)
