"""Runs that an agent may start: one at a time, within a budget of core-hours that cannot be exceeded.

A run gets as many seconds as the rest of the budget holds for its workers, each of which uses one core. When they are
over, the run is interrupted as by SIGTERM; whoever has another budget can resume it.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from setpoint.api.planning import preview
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import checked_spec
from setpoint.experiments.request import Request, make_request

_S_PER_HOUR = 3600.0
_GRACE_S = 60.0


@dataclass
class Budget:
    """Core-hours that runs may use together, and the run in progress.

    Attributes:
        core_hours: all that may be used; 0 allows no run.
        spent: core-hours that ended runs have used at most.
    """

    core_hours: float
    workers: int = 1
    spent: float = 0.0
    running: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> float:
        """Core-hours that are left."""
        return max(0.0, self.core_hours - self.spent)

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        left = {"core_hours": self.core_hours, "spent": round(self.spent, 6), "left": round(self.left, 6)}
        return {**left, "running": self.running or None}

    def start(self, workspace: Workspace, spec: Mapping[str, Any], experiment_id: str | None) -> dict[str, Any]:
        """Start an experiment in the background and return its id.

        Raises:
            InputError: runs are not allowed, another one is in progress, the specification is invalid, or its estimate
                exceeds the budget. Nothing was started.
        """
        request = requested(workspace, spec, experiment_id)
        self._require(request)
        with self._lock:
            if self.running:
                raise InputError(f"experiment {self.running!r} is running. Wait for it: one run at a time.")
            self.running = request.experiment_id
        try:
            process = _process(workspace, spec, request.experiment_id, self.workers)
        except BaseException:
            self.running = ""
            raise
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()
        return {"experiment": request.experiment_id, "budget": self.to_json()}

    def _require(self, request: Request) -> None:
        if self.core_hours <= 0:
            raise InputError("runs are not allowed. The user can start the server with --allow-runs CORE_HOURS.")
        expected = preview(request).estimate(self.workers).record().predicted
        most = max(expected.cpu_s, *expected.cpu_s_interval) / _S_PER_HOUR
        if most > self.left or self.left == 0:
            raise InputError(
                f"the run may need {most:.3g} core-hours, but {self.left:.3g} of {self.core_hours:.3g} are left. "
                "Use fewer runs, steps or seeds, or ask the user for a larger budget."
            )

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the run, interrupt it when the budget is used up, and count what it used."""
        begun = time.monotonic()
        limit_s = self.left * _S_PER_HOUR / self.workers
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with self._lock:
            self.spent += (time.monotonic() - begun) * self.workers / _S_PER_HOUR
            self.running = ""


def requested(workspace: Workspace, spec: Mapping[str, Any], experiment_id: str | None) -> Request:
    """Return the request for the experiment that a specification describes. Writes nothing.

    Raises:
        InputError: the specification is invalid.
    """
    return make_request(workspace, checked_spec(dict(spec)), experiment_id=experiment_id, fresh=False)


def _process(
    workspace: Workspace, spec: Mapping[str, Any], experiment_id: str, workers: int
) -> "subprocess.Popen[bytes]":
    """Start the command line; what it prints goes nowhere, because the protocol owns the streams of this process."""
    with NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as stream:
        json.dump(dict(spec), stream)  # JSON is YAML
    line = [sys.executable, "-m", "setpoint", "experiment", "run", "--spec", stream.name, "--quiet"]
    line += ["--experiment-id", experiment_id, "--workers", str(workers), "--workspace", str(workspace.root.absolute())]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    threading.Thread(target=_remove_after, args=(process, Path(stream.name)), daemon=True).start()
    return process


def _remove_after(process: "subprocess.Popen[bytes]", path: Path) -> None:
    process.wait()
    with contextlib.suppress(OSError):
        path.unlink()
