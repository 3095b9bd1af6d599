"""Parse the output of `squeue`, `sacct` and `scontrol`; unknown lines are skipped, since versions differ."""

import re
from dataclasses import dataclass, replace

QUEUE_FORMAT = "%i|%A|%T|%r|%N|%j"
_TASK_LIST = re.compile(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]")
ACCOUNTING_FIELDS = ("JobID", "JobIDRaw", "State", "ExitCode", "DerivedExitCode", "NodeList", "Reason")

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
    """

    job: str
    state: str
    reason: str = ""
    exit_code: str = ""
    node: str = ""
    name: str = ""
    out_of_memory: bool = False

    @property
    def ended(self) -> bool:
        """Whether the job has ended; a requeued job has not."""
        return self.state in ENDED


def queue(text: str) -> dict[str, QueueEntry]:
    """Return job -> entry from `squeue -o QUEUE_FORMAT`; pending tasks that share a line are expanded."""
    found: dict[str, QueueEntry] = {}
    for line in text.splitlines():
        row = _columns(line)
        if len(row) == 6:
            entry = QueueEntry(job=row[0], state=_state(row[2]), reason=row[3], node=row[4], name=row[5])
            found |= dict.fromkeys(_jobs(row[0]), entry)
    return found


def is_truncated(text: str) -> bool:
    """Return whether `squeue` truncated a list of pending tasks, which hides some of them."""
    return any("_[" in job and _TASK_LIST.fullmatch(job) is None for job, *_ in map(_columns, text.splitlines()))


def _columns(line: str) -> list[str]:
    return line.split("|", 5)


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

    A task that never started may only appear on a line shared with other tasks or the whole array.
    """
    found: dict[str, QueueEntry] = {}
    for line in text.splitlines():
        row = line.split("|")
        if len(row) < len(ACCOUNTING_FIELDS):
            continue
        job, _, step = row[0].partition(".")
        state, exit_code = _state(row[2]), row[3]
        memory = state == "OUT_OF_MEMORY" or exit_code == _OOM_EXIT or row[4] == _OOM_EXIT
        if step and job in found:
            found[job] = replace(found[job], out_of_memory=found[job].out_of_memory or memory)
        elif not step and _is_job(job):
            node = "" if row[5] == "None assigned" else row[5]
            found[job] = QueueEntry(job, state, row[6], exit_code, node, out_of_memory=memory)
        elif not step:
            for task in _jobs(job):
                found.setdefault(task, QueueEntry(task, state, row[6], exit_code))
    return list(found.values())


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
    return [
        QueueEntry(job, state, fields.get("Reason", ""), fields.get("ExitCode", ""), node, out_of_memory=memory)
        for job in jobs
    ]


def _state(text: str) -> str:
    """Strip suffixes: `CANCELLED by 1000` and `CANCELLED+` both give CANCELLED."""
    return (text.split() or [""])[0].rstrip("+").upper()


def _is_job(text: str) -> bool:
    """Return whether `text` is a single job or task, not a task list such as `12_[4-9]`."""
    return re.fullmatch(r"\d+(_\d+)?", text) is not None
