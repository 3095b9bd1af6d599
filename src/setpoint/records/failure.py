"""Failure classes: what to do about each, and how often a stage is retried."""

from collections.abc import Mapping

SUGGESTIONS = {
    "config": "correct the value that the message names",
    "gpu_oom": "use a smaller batch_size, or a GPU with more memory",
    "host_oom": "give the run more memory, or use a smaller batch_size",
    "storage": "free some space or name another --workspace, then resume",
    "transient": "try again; a file system or connection that fails often needs its administrator",
    "node_failure": "try again on another GPU or node; the device reported an error of its own",
    "timeout": "allow more time, or use fewer steps; the stage continues from its checkpoint",
    "preempted": "resume; the stage continues from its checkpoint",
    "stalled": "look at the last lines of stderr.log; a stage that often hangs may need another machine",
    "corrupt_artifact": "check the disk; the stage is computed again",
    "data": "check the data set that the message names, or make it again",
    "crash": "read stderr.log of the attempt; the traceback ends with the failing line",
    "cancelled": "somebody ended it on purpose; retry it where it is wanted after all",
    "lost": "look for a memory limit or an administrator that ended the process, then retry",
}

# A failure that says something about the configuration is a result and is never tried again by itself.
RETRIES: Mapping[str, int] = {
    "crash": 1,
    "lost": 1,
    "transient": 2,
    "node_failure": 2,
    "stalled": 1,
    "host_oom": 1,
    "timeout": 3,
    "preempted": 5,
    "corrupt_artifact": 2,
}
RESULTS = frozenset({"diverged", "no_learning_signal"})
"""Failures that follow from the configuration: another experiment that asks for the same stage is told the same."""
FAILURE_CLASSES = frozenset({*SUGGESTIONS, *RETRIES, *RESULTS})
"""All that there are."""
RESUMED = frozenset({"storage"})
"""Classes that stop the experiment, and that are tried again when it is taken up."""
