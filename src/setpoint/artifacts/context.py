"""What a stage's code is given: its configuration, its inputs, and the folders it may write to."""

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts.workspace import Workspace

SAID_EVERY = 10
"""Steps between two lines on stdout; `metrics.jsonl` has every step."""


_received: list[str] = []


def watch_shutdown(signals: Iterable[signal.Signals]) -> None:
    """Treat these signals as a request for a graceful shutdown; call it from the main thread only."""
    for number in signals:
        signal.signal(number, lambda received, _frame: _received.append(signal.Signals(received).name))


def shutdown_signal() -> str | None:
    """The name of the signal that asked this process to shut down, or None."""
    return _received[0] if _received else None


@dataclass(frozen=True, slots=True)
class StageContext:
    """The one argument of a stage function, which returns its summary: deterministic numbers about the result.

    Attributes:
        workspace: where data sets and other stages lie; only to be read.
        config: the resolved configuration.
        needs: role -> folder of a finished upstream stage.
        output: an empty folder; what is written there is published when the function returns.
        checkpoints: state that the next attempt of this stage finds again, in a folder of its own.
        attempt: logs of this attempt.
    """

    workspace: Workspace
    kind: str
    stage_id: str
    config: dict[str, Any]
    seed: int
    needs: dict[str, Path]
    output: Path
    checkpoints: Path
    attempt: Path

    def must_end(self) -> str | None:
        """Why the stage should save its state and end now, or None; cheap enough for every step."""
        received = shutdown_signal()
        return None if received is None else f"asked to end by {received}"

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the attempt's `metrics.jsonl`, and say so on stdout every tenth step."""
        with (self.attempt / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(record)) + "\n")
        step = record.get("step")
        if isinstance(step, int) and step % SAID_EVERY == 0:
            numbers = ", ".join(f"{name} {x:.4g}" for name, x in record.items() if isinstance(x, float))
            print(f"step {step}: {numbers}", flush=True)
