"""Exceptions sorted into failure classes, by type and error number; never by searching the text of a log."""

import errno
import traceback
from collections.abc import Iterator
from typing import Any

from setpoint.errors import InputError, StageError

STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT})

SUGGESTIONS = {
    "config": "correct the value that the message names",
    "gpu_oom": "use a smaller batch_size, or a GPU with more memory",
    "host_oom": "give the run more memory, or use a smaller batch_size",
    "storage": "free some space or name another --workspace, then resume",
    "crash": "read stderr.log of the attempt; the traceback ends with the failing line",
    "lost": "look for a memory limit or an administrator that ended the process, then retry",
}


def describe_failure(error: BaseException) -> dict[str, Any]:
    """The content of failure.json for an exception that ended a stage."""
    failure_class = classify(error)
    stage_error = error if isinstance(error, StageError) else None
    return {
        "schema": 1,
        "failure_class": failure_class,
        "message": str(error) or type(error).__name__,
        "exception": f"{type(error).__module__}.{type(error).__qualname__}",
        "traceback": "".join(traceback.format_exception(error)),
        "evidence": stage_error.evidence if stage_error else {},
        "suggestion": stage_error.suggestion if stage_error else SUGGESTIONS[failure_class],
    }


def describe_lost(exit_code: int | None) -> dict[str, Any]:
    """The content of failure.json for a worker that ended without a word; a bare SIGKILL is no proof of low memory."""
    return {
        "schema": 1,
        "failure_class": "lost",
        "message": f"the worker ended without a result (exit code {exit_code})",
        "exception": None,
        "traceback": None,
        "evidence": {"exit_code": exit_code},
        "suggestion": SUGGESTIONS["lost"],
    }


def classify(error: BaseException) -> str:
    """The failure class of an exception, or of the first one in its chain of causes that has one of its own."""
    for link in _causes(error):
        if isinstance(link, StageError):
            return link.failure_class
        if isinstance(link, InputError):
            return "config"
        if isinstance(link, MemoryError):
            return "host_oom"
        if isinstance(link, OSError) and link.errno in STORAGE_ERRORS:
            return "storage"
        # torch.OutOfMemoryError, by name: this layer does not import torch.
        if type(link).__name__ == "OutOfMemoryError":
            return "gpu_oom"
    return "crash"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
