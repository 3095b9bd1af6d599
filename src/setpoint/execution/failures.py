"""Classify exceptions into failure classes, by type and error number, never by log text."""

import errno
import signal
import traceback
from collections.abc import Iterator

from setpoint.errors import InputError, StageError
from setpoint.records.failure import STAGE_CLASSES, Failure, FailureClass, failure_of

STORAGE_ERRORS = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT})
EXIT_STORAGE = 74
"""Exit code of a worker that could not write its failure record; EX_IOERR of sysexits.h."""
TRANSIENT_ERRORS = frozenset({errno.EIO, errno.ESTALE, errno.EHOSTUNREACH, errno.ENETUNREACH})

# Exceptions of libraries that this layer does not import, by type name.
_CLASS_OF_TYPE = {
    "OutOfMemoryError": FailureClass.GPU_OOM,
    "DistBackendError": FailureClass.TRANSIENT,
    "DistNetworkError": FailureClass.TRANSIENT,
    "AcceleratorError": FailureClass.NODE_FAILURE,
}
_CLASS_OF_SIGNAL = {"SIGTERM": FailureClass.PREEMPTED, "SIGKILL": FailureClass.LOST}


def describe_failure(error: BaseException) -> Failure:
    """Return the failure record for an exception raised by a stage."""
    failure_class = classify(error)
    stage_error = error if isinstance(error, StageError) else None
    suggestion = stage_error.suggestion if stage_error else _limit_to_raise(error)
    return Failure(
        failure_class=failure_class,
        message=str(error) or type(error).__name__,
        evidence=stage_error.evidence if stage_error else {},
        suggestion=suggestion or failure_class.policy.suggestion,
        exception=f"{type(error).__module__}.{type(error).__qualname__}",
        traceback="".join(traceback.format_exception(error)),
    )


def describe_exit(exit_code: int | None, *, oom_kills: int = 0, peak_rss_gb: float = 0.0) -> Failure:
    """Return the failure record for a worker that exited without writing one.

    SIGKILL alone is not evidence of low memory; the kernel must also have counted an OOM kill in the meantime.

    Args:
        exit_code: exit code of the worker; negative for a signal.
        oom_kills: OOM kills that the kernel counted while the worker ran.
        peak_rss_gb: peak resident memory, in GB.
    """
    name = _signal_name(exit_code)
    other = FailureClass.CRASH if name else FailureClass.LOST
    failure_class = _CLASS_OF_SIGNAL.get(name, other)
    if name == "SIGKILL" and oom_kills:
        failure_class = FailureClass.HOST_OOM
    if exit_code == EXIT_STORAGE:
        failure_class = FailureClass.STORAGE
    evidence = {"exit_code": exit_code, "signal": name, "oom_kills": oom_kills, "peak_rss_gb": round(peak_rss_gb, 3)}
    ended = f"was killed by {name}" if name else f"exited with code {exit_code}"
    return failure_of(failure_class, f"the worker {ended} before it wrote a result", evidence)


def _signal_name(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return ""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def classify(error: BaseException) -> FailureClass:
    """Return the failure class of the first exception in the chain of causes that has a specific one."""
    for link in _causes(error):
        if isinstance(link, StageError):
            return FailureClass(link.failure_class) if link.failure_class in STAGE_CLASSES else FailureClass.CRASH
        if isinstance(link, InputError):
            return FailureClass.CONFIG
        if isinstance(link, MemoryError):
            return FailureClass.HOST_OOM
        if isinstance(link, OSError) and link.errno in STORAGE_ERRORS:
            return FailureClass.STORAGE
        if isinstance(link, ConnectionError | TimeoutError):
            return FailureClass.TRANSIENT
        if (isinstance(link, OSError) and link.errno in TRANSIENT_ERRORS) or _limit_to_raise(link):
            return FailureClass.TRANSIENT
        if type(link).__name__ in _CLASS_OF_TYPE:
            return _CLASS_OF_TYPE[type(link).__name__]
    return FailureClass.CRASH


_LIMITS = {
    errno.EAGAIN: "use fewer --workers, or raise the limit on processes and threads (ulimit -u)",
    errno.EMFILE: "use fewer --workers, or raise the limit on open files (ulimit -n)",
    errno.ENFILE: "use fewer --workers; the machine has too many open files",
}
_NO_THREAD = "can't start new thread"


def _limit_to_raise(error: BaseException) -> str:
    """Return what to do if a limit of the system on threads or files was reached; empty otherwise."""
    if isinstance(error, RuntimeError) and str(error).startswith(_NO_THREAD):  # CPython gives no error number
        return _LIMITS[errno.EAGAIN]
    return _LIMITS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
