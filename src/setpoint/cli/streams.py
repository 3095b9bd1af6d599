"""Standard streams and signals of a command."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

from setpoint.plain_text import EscapingStream, message_line

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command like Ctrl-C; SIGHUP arrives when a terminal or an SSH session closes."""


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Escape control characters in everything that the body prints, on streams that are open."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            _open_nowhere(descriptor, name, mode)
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape what the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    with (
        contextlib.redirect_stdout(cast(Any, EscapingStream(sys.stdout))),
        contextlib.redirect_stderr(cast(Any, EscapingStream(sys.stderr))),
    ):
        yield


def _open_nowhere(descriptor: int, name: str, mode: str) -> None:
    """Open a closed standard stream on the null device, so that no file that is opened later takes its place."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
    setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


@contextlib.contextmanager
def ended_as_interrupted() -> Iterator[Callable[[], None]]:
    """Turn SIGTERM and SIGHUP into `KeyboardInterrupt`, unless the caller ignores or handles them, as `nohup` does.

    Further ones are ignored: `timeout` and schedulers send several, and the second would end the process before it has
    cleaned up. Yields a function that ignores them until the process has ended; call it after an interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def ignore() -> None:
        for number in ours:
            signal.signal(number, signal.SIG_IGN)

    def interrupt(_number: int, _frame: object) -> None:
        for number in ours:  # not SIG_IGN yet, because Python would report a signal that is pending
            signal.signal(number, lambda _number, _frame: None)
        raise KeyboardInterrupt

    ours = [number for number in ENDING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield ignore
    finally:
        for number in ours:
            if signal.getsignal(number) is interrupt:
                signal.signal(number, signal.SIG_DFL)


def tell(text: str) -> None:
    """Print one line of a limited length on stderr, if it can still be written to."""
    with contextlib.suppress(OSError):
        print(f"setpoint: {message_line(text)}", file=sys.stderr, flush=True)


def abandon_stdout() -> None:
    """Redirect stdout to the null device, because Python flushes it once more at exit."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
