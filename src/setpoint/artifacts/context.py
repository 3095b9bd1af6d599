"""Stage context: the configuration, inputs and output folders of a stage function; graceful shutdown."""

import json
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts.workspace import Workspace

PRINT_EVERY = 10
"""Steps between two progress lines on stdout; `metrics.jsonl` has every step."""


_received: list[str] = []


def watch_shutdown(signals: Iterable[signal.Signals]) -> None:
    """Treat these signals as requests for a graceful shutdown. Call it from the main thread only."""
    for number in signals:
        signal.signal(number, lambda received, _frame: _received.append(signal.Signals(received).name))


def shutdown_signal() -> str | None:
    """Return the name of the first shutdown signal received, or None."""
    return _received[0] if _received else None


@dataclass(frozen=True, slots=True)
class StageContext:
    """The single argument of a stage function, which returns its summary: deterministic numbers about the result.

    Attributes:
        workspace: workspace with datasets and other stages; read-only.
        config: resolved configuration.
        needs: role -> folder of a finished upstream stage.
        output: empty folder; its content is published when the function returns.
        checkpoints: folder for state from which the next attempt of this stage can resume.
        attempt: folder with the logs of this attempt.
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
        """Return why the stage should save its state and stop now, or None; cheap enough to call at every step."""
        received = shutdown_signal()
        return None if received is None else f"asked to stop by {received}"

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to the attempt's `metrics.jsonl`, and print every tenth step."""
        with (self.attempt / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(dict(record)) + "\n")
        step = record.get("step")
        if isinstance(step, int) and step % PRINT_EVERY == 0:
            numbers = ", ".join(f"{name} {x:.4g}" for name, x in record.items() if isinstance(x, float))
            print(f"step {step}: {numbers}", flush=True)
