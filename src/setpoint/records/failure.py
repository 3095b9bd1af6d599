"""Why an attempt at a stage failed, and what follows from that: one table says it for every class of failure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from setpoint.artifacts import DamagedError, Fields, read_json
from setpoint.artifacts.fields import finite

SCHEMA = 1


class FailureClass(StrEnum):
    """Classes of failures, told apart by exceptions, limits and signals, never by the text of a log."""

    CONFIG = "config"
    """A value, name or file that cannot be used."""
    DATA = "data"
    """A data set or a result of another stage is not what it should be."""
    DIVERGED = "diverged"
    """Training left the numbers that can be computed with."""
    NO_LEARNING_SIGNAL = "no_learning_signal"
    """Every completion of GRPO earned the same reward."""
    GPU_OOM = "gpu_oom"
    """The memory of a GPU ran out with the smallest micro-batch."""
    HOST_OOM = "host_oom"
    """The memory of the host, or of the job, ran out."""
    STORAGE = "storage"
    """The disk is full or cannot be written."""
    TRANSIENT = "transient"
    """A connection or file system failed for a moment."""
    NODE_FAILURE = "node_failure"
    """A GPU or a node reported an error of its own."""
    TIMEOUT = "timeout"
    """The attempt reached its time limit."""
    PREEMPTED = "preempted"
    """The attempt was asked to end and saved its state."""
    STALLED = "stalled"
    """There was no progress for too long."""
    CORRUPT_ARTIFACT = "corrupt_artifact"
    """A file is not what was written."""
    CRASH = "crash"
    """Any other exception, or a signal that a defect raises."""
    CANCELLED = "cancelled"
    """Somebody ended the job on purpose."""
    LOST = "lost"
    """The worker was killed or disappeared before it could say why."""
    BLOCKED = "blocked"
    """Of runs alone: a stage that they need failed."""
    NO_VALUE = "no_value"
    """Of the rows of a table alone: they have no result."""

    @property
    def policy(self) -> "FailurePolicy":
        """What follows from a failure of this class."""
        return POLICIES[self]


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """What follows from a failure.

    Attributes:
        suggestion: what to do about it, where the stage or the run says nothing more exact.
        retries: how often a stage is tried again by itself.
        pauses: whether it is tried again only after a pause.
        resumes: whether it stops the experiment, and is tried again when that is resumed.
        final: whether a retry, which keeps every value, fails again, so that only a new experiment can help.
        result: whether it follows from the configuration alone: another experiment with the same stage is told the
            same. Such a failure is final as well.
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
        FailureClass.DATA: FailurePolicy("check the data set that the message names, or generate it again"),
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
            "try again; a file system or connection that fails often needs its administrator", retries=2, pauses=True
        ),
        FailureClass.NODE_FAILURE: FailurePolicy(
            "try again on another GPU or node; the device reported an error of its own", retries=2, pauses=True
        ),
        FailureClass.TIMEOUT: FailurePolicy(
            "allow more time (--time-limit-min), or use fewer steps; the stage continues from its checkpoint", retries=3
        ),
        FailureClass.PREEMPTED: FailurePolicy("resume; the stage continues from its checkpoint", retries=5),
        FailureClass.STALLED: FailurePolicy(
            "look at the last lines of stderr.log; raise --stall-limit-min if the stage is slow and not hung", retries=1
        ),
        FailureClass.CORRUPT_ARTIFACT: FailurePolicy("check the disk; the stage is computed again", retries=2),
        FailureClass.CRASH: FailurePolicy(
            "try again; if it fails the same way, report the traceback in stderr.log of the attempt", retries=1
        ),
        FailureClass.CANCELLED: FailurePolicy("somebody ended it on purpose; retry it where it is wanted after all"),
        FailureClass.LOST: FailurePolicy(
            "retry; if the worker is lost again, give it more memory or look for what ended it", retries=1
        ),
        FailureClass.BLOCKED: FailurePolicy("fix the upstream stage; this run then resumes automatically"),
        FailureClass.NO_VALUE: FailurePolicy("fill in the response, or remove the row"),
    }
)
STAGE_CLASSES = frozenset(FailureClass) - {FailureClass.BLOCKED, FailureClass.NO_VALUE}
"""Those that an attempt at a stage can have."""
RETRYABLE = tuple(sorted(name for name, policy in POLICIES.items() if policy.retries))
"""Those that are tried again by themselves."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed: the content of failure.json.

    Attributes:
        message: one line.
        evidence: the measured numbers that show it.
        suggestion: what to do about it.
        exception: its type, where there was one.
    """

    failure_class: FailureClass
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    suggestion: str = ""
    exception: str | None = None
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of failure.json."""
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
        """A text of the evidence; empty where there is none of this name."""
        found = self.evidence.get(name)
        return found if isinstance(found, str) else ""

    def evidence_number(self, name: str) -> float | None:
        """A number of the evidence; None where there is none of this name."""
        return finite(self.evidence.get(name))


def failure_of(failure_class: FailureClass, message: str, evidence: Mapping[str, Any]) -> Failure:
    """A failure that was seen from outside, with the suggestion of its class."""
    return Failure(failure_class, message, evidence, failure_class.policy.suggestion)


def read_failure(path: Path) -> Failure | None:
    """The failure in `path`; None where there is no such file. A damaged one says so, as a failure of the disk."""
    content = read_json(path)
    if content is None and not path.exists():
        return None
    try:
        fields = Fields(content, path)
        return Failure(
            failure_class=_class(fields, path),
            message=fields.text("message"),
            evidence=fields.table("evidence", {}),
            suggestion=fields.optional_text("suggestion") or "",
            exception=fields.optional_text("exception"),
            traceback=fields.optional_text("traceback"),
        )
    except DamagedError as error:
        return failure_of(FailureClass.CORRUPT_ARTIFACT, str(error), {})


def _class(fields: Fields, path: Path) -> FailureClass:
    name = fields.text("failure_class")
    if name not in STAGE_CLASSES:
        raise DamagedError(f"{str(path)!r} is damaged: failure_class must be a known class, but is {name[:80]!r}.")
    return FailureClass(name)
