"""The failure classes, from their table."""

from pages.markdown import page, table
from setpoint.docstrings import attribute_docstrings
from setpoint.records.failure import POLICIES, STAGE_CLASSES, FailureClass, FailurePolicy

ABOUT = """\
# Failure classes

A failure is classified by the type of the exception, by a limit that the coordinator saw exceeded, or by the signal
that ended the worker, never by searching the text of a log."""

NOTES = """
- `diverged` and `no_learning_signal` are results: they follow from the configuration, and every experiment with the
  same stage reports the same.
- `gpu_oom`: before a stage fails, its batch is split into smaller passes with the same objective.
- `host_oom` is detected by `MemoryError`, the kernel's own count or the memory limit; the retry runs with half as many
  workers.
- `timeout` and `preempted` continue from the checkpoint of the stage.
- `transient` and `node_failure` are retried after a pause that doubles.
- `stalled`: no new line, log entry or checkpoint for 30 minutes (`--stall-limit-min`).
- `storage` stops the experiment; its stages run again when the experiment is resumed.

`--retries transient=5 crash=0`, or `retries` in a specification, changes how often a class is retried. [Resume, retry
and recover](../how_to/resuming.md) shows the commands."""


def failures() -> str:
    """What each class means, how often it is retried, and what to do."""
    meanings = attribute_docstrings(FailureClass)
    rows = (
        [f"`{name}`", meanings[name.name], _retries(policy), policy.suggestion]
        for name, policy in POLICIES.items()
        if name in STAGE_CLASSES
    )
    return page(ABOUT, "", *table(["class", "meaning", "automatic retries", "what to do"], rows), NOTES)


def _retries(policy: FailurePolicy) -> str:
    if policy.final:
        return "none; final"
    if policy.resumes:
        return "on resume"
    return str(policy.retries or "none")
