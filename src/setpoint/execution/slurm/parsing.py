"""Parse the output of `sbatch`, `squeue`, `sacct` and `scontrol`; unknown lines are skipped, since versions differ.

Times are in UTC: the client asks for them so.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

QUEUE_FORMAT = "%i|%A|%T|%u|%V|%N|%r|%j"
_TASK_LIST = re.compile(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]")
ACCOUNTING_FIELDS = (
    *("JobID", "JobIDRaw", "State", "ExitCode", "DerivedExitCode", "NodeList", "Reason", "User", "Submit"),
    "JobName",  # last, for it may contain the separator
)
_SUBMITTED = re.compile(r"([0-9]+)(;\S+)?")
"""The line that `sbatch --parsable` prints: `id` or `id;cluster`."""

ENDED = frozenset(
    {
        *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL"),
        *("DEADLINE", "LAUNCH_FAILED", "RECONFIG_FAIL", "REVOKED"),
    }
)
_OOM_EXIT = "0:125"
"""Exit code that SLURM reports for a step killed by the kernel for lack of memory."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """A job or array task as shown by a SLURM command.

    Attributes:
        job: job id as users write it: `12`, or `12_3` for an array task.
        state: SLURM's state without suffixes; unknown states count as not ended.
        exit_code: `code:signal`; empty if the command does not report it.
        out_of_memory: whether the job or one of its steps ran out of memory.
        user: login name of its owner; empty if the command does not report it.
        submitted_s: when it was submitted or last requeued, in s since 1970; 0 if the command does not report it.
    """

    job: str
    state: str
    reason: str = ""
    exit_code: str = ""
    node: str = ""
    name: str = ""
    out_of_memory: bool = False
    user: str = ""
    submitted_s: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether the job has ended; a requeued job has not."""
        return self.state in ENDED

    @property
    def array(self) -> str:
        """Id of the job, or of the array to which the task belongs."""
        return self.job.partition("_")[0]


def submitted_id(text: str) -> str | None:
    """Return the job id that `sbatch --parsable` printed, alone on a line among banners; None if there is none."""
    found = [match[1] for line in text.splitlines() if (match := _SUBMITTED.fullmatch(line.strip())) is not None]
    return found[-1] if found else None


def queue(text: str) -> dict[str, QueueEntry]:
    """Return job -> entry from `squeue -o QUEUE_FORMAT`; pending tasks that share a line are expanded."""
    found: dict[str, QueueEntry] = {}
    for line in text.splitlines():
        row = _columns(line)
        if len(row) == 8:
            job, _, state, user, submitted, node, reason, name = row
            entry = QueueEntry(
                job, _state(state), reason, node=node, name=name, user=user, submitted_s=_seconds(submitted)
            )
            found |= {each: replace(entry, job=each) for each in _jobs(job)}
    return found


def is_truncated(text: str) -> bool:
    """Return whether `squeue` truncated a list of pending tasks, which hides some of them."""
    return any("_[" in job and _TASK_LIST.fullmatch(job) is None for job, *_ in map(_columns, text.splitlines()))


def _columns(line: str) -> list[str]:
    return line.split("|", 7)


def _jobs(text: str) -> list[str]:
    """Expand `12`, `12_3` or `12_[4-6,9,11-15:2%2]` into job ids; other texts give none."""
    task_list = _TASK_LIST.fullmatch(text)
    if task_list is None:
        return [text] if _is_job(text) else []
    found: list[str] = []
    for part in filter(None, task_list[2].split(",")):
        ends, _, step = part.partition(":")
        first, _, last = ends.partition("-")
        found += [f"{task_list[1]}_{index}" for index in range(int(first), int(last or first) + 1, int(step or 1))]
    return found


def accounting(text: str) -> list[QueueEntry]:
    """Parse `sacct -D -n -P`, with steps merged into their jobs; the last start of a job counts.

    A task that never started may only appear on a line shared with other tasks or the whole array. Jobs with equal ids
    and different names are different jobs: ids restart when the state of the controller is lost.
    """
    found: dict[tuple[str, str], QueueEntry] = {}
    shared: dict[tuple[str, str], QueueEntry] = {}
    latest: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        row = line.split("|", len(ACCOUNTING_FIELDS) - 1)
        if len(row) < len(ACCOUNTING_FIELDS):
            continue
        job, _, step = row[0].partition(".")
        entry = _accounted(job, row)
        if step:
            of = latest.get(job)
            if of is not None:
                found[of] = replace(found[of], out_of_memory=found[of].out_of_memory or entry.out_of_memory)
        elif _is_job(job):
            latest[job] = (job, entry.name)
            before = found.get(latest[job])
            if before is None or entry.submitted_s >= before.submitted_s:
                found[latest[job]] = entry
        else:
            shared |= {(task, entry.name): replace(entry, job=task, node="") for task in _jobs(job)}
    return list((shared | found).values())


def _accounted(job: str, row: list[str]) -> QueueEntry:
    state, exit_code = _state(row[2]), row[3]
    return QueueEntry(
        job,
        state,
        row[6],
        exit_code,
        node="" if row[5] == "None assigned" else row[5],
        name=row[9],
        out_of_memory=state == "OUT_OF_MEMORY" or exit_code == _OOM_EXIT or row[4] == _OOM_EXIT,
        user=row[7],
        submitted_s=_seconds(row[8]),
    )


def control(text: str) -> list[QueueEntry]:
    """Parse `scontrol -o show job`."""
    return [entry for line in text.splitlines() for entry in _control_line(line)]


def _control_line(line: str) -> list[QueueEntry]:
    # User-supplied paths and comments come last, so the first of two equal names is SLURM's own.
    fields = dict(reversed(re.findall(r"(?:^|\s)([A-Z][A-Za-z/:]*)=(\S*)", line)))
    if not fields.get("JobId", "").isdecimal() or "JobState" not in fields:
        return []
    task = fields.get("ArrayTaskId", "")
    array = fields.get("ArrayJobId", "")
    jobs = [fields["JobId"]] if not array or not task else _jobs(f"{array}_{task}") or _jobs(f"{array}_[{task}]")
    state = _state(fields["JobState"])
    memory = state == "OUT_OF_MEMORY" or _OOM_EXIT in (fields.get("ExitCode"), fields.get("DerivedExitCode"))
    node = fields.get("NodeList", "").replace("(null)", "")
    user = fields.get("UserId", "").partition("(")[0]
    found = QueueEntry(
        "",
        state,
        fields.get("Reason", ""),
        fields.get("ExitCode", ""),
        node,
        fields.get("JobName", ""),
        memory,
        user,
        _seconds(fields.get("SubmitTime", "")),
    )
    return [replace(found, job=job) for job in jobs]


def _state(text: str) -> str:
    """Strip suffixes: `CANCELLED by 1000` and `CANCELLED+` both give CANCELLED."""
    return (text.split() or [""])[0].rstrip("+").upper()


def _seconds(text: str) -> float:
    """Return a time of SLURM, such as `2026-01-31T12:00:00` in UTC, in s since 1970; 0 if it is none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


def _is_job(text: str) -> bool:
    """Return whether `text` is a single job or task, not a task list such as `12_[4-9]`."""
    return re.fullmatch(r"\d+(_\d+)?", text) is not None
