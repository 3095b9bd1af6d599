"""A polite request to end: a signal sets a mark, and a stage that can continue later saves its state and stops."""

import signal
from collections.abc import Iterable

_received: list[str] = []


def watch(signals: Iterable[signal.Signals]) -> None:
    """Take these signals as the request, in place of what they do otherwise; only the main thread may call this."""
    for number in signals:
        signal.signal(number, lambda received, _frame: _received.append(signal.Signals(received).name))


def requested() -> str | None:
    """The name of the signal that asked this process to end, or None."""
    return _received[0] if _received else None
