"""Exceptions sorted into failure classes, by type and error number; never by searching the text of a log."""

import errno
import signal
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from setpoint.errors import InputError, StageError
from setpoint.records.failure import SUGGESTIONS

STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT})
EXIT_STORAGE = 74
"""Of a worker that could not even write down why it failed; EX_IOERR."""
TRANSIENT_ERRORS = frozenset({errno.EIO, errno.ESTALE, errno.EHOSTUNREACH, errno.ENETUNREACH})

# Exceptions of libraries that this layer does not import, by the name of their type.
_CLASS_OF_TYPE = {
    "OutOfMemoryError": "gpu_oom",
    "DistBackendError": "transient",
    "DistNetworkError": "transient",
    "AcceleratorError": "node_failure",
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
        "suggestion": (stage_error.suggestion if stage_error else "") or SUGGESTIONS[failure_class],
    }


def describe_ended(exit_code: int | None, *, oom_kills: int = 0, peak_rss_gb: float = 0.0) -> dict[str, Any]:
    """The content of failure.json for a worker that ended without a word.

    A bare SIGKILL is no proof of low memory: that takes a kernel that says it killed for memory meanwhile.

    Args:
        exit_code: negative for a signal.
        oom_kills: processes that the kernel ended for want of memory while the worker ran.
        peak_rss_gb: the largest resident memory that was seen.
    """
    name = _signal_name(exit_code)
    failure_class = {"SIGTERM": "preempted", "SIGKILL": "lost"}.get(name, "crash" if name else "lost")
    if name == "SIGKILL" and oom_kills:
        failure_class = "host_oom"
    if exit_code == EXIT_STORAGE:
        failure_class = "storage"
    evidence = {"exit_code": exit_code, "signal": name, "oom_kills": oom_kills, "peak_rss_gb": round(peak_rss_gb, 3)}
    ended = f"by {name}" if name else f"with exit code {exit_code}"
    return describe(failure_class, f"the worker ended {ended} and without a result", evidence)


def describe(failure_class: str, message: str, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The content of failure.json for a failure that was seen from outside."""
    return {
        "schema": 1,
        "failure_class": failure_class,
        "message": message,
        "exception": None,
        "traceback": None,
        "evidence": dict(evidence),
        "suggestion": SUGGESTIONS[failure_class],
    }


def _signal_name(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return ""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


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
        if isinstance(link, ConnectionError | TimeoutError):
            return "transient"
        if isinstance(link, OSError) and link.errno in TRANSIENT_ERRORS:
            return "transient"
        if type(link).__name__ in _CLASS_OF_TYPE:
            return _CLASS_OF_TYPE[type(link).__name__]
    return "crash"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
