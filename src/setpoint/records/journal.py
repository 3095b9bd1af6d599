"""What happened in an experiment, in order, one file for each coordinator that ever ran it."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Listener = Callable[[Event], None]


class Journal:
    """Appends events to `journal/<token>.jsonl` and hands each to the listeners."""

    def __init__(self, experiment: Path, token: str, listeners: tuple[Listener, ...] = ()) -> None:
        """Write to the journal of `experiment`; tokens sort by the order of takeovers."""
        folder = experiment / "journal"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{token}.jsonl"
        self._listeners = listeners

    def record(self, event: str, **fields: Any) -> None:
        """Append one event; it is on the disk when this returns."""
        entry: Event = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        for listener in self._listeners:
            listener(entry)


def read_events(experiment: Path) -> Iterator[Event]:
    """Every event of the experiment, oldest coordinator first; a line that is none, as after a crash, is skipped."""
    for path in sorted((experiment / "journal").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(event, dict):
                yield event
