"""Kill coordinator and workers at random, and see that nothing is lost, repeated or changed: `make chaos`.

A ledger that the product knows nothing of counts executions. The disturbed experiment must end with the results and the
claims of an undisturbed one.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from setpoint.artifacts import Workspace, read_json
from setpoint.execution import LocalExecutor
from setpoint.execution.worker import WRAPPER_VARIABLE
from setpoint.experiments import launch
from setpoint.experiments.planning.spec import planned_spec
from setpoint.experiments.request import Request
from setpoint.experiments.running.status import read_status
from setpoint.records.plan import Plan, read_plan
from setpoint.reports import write_reports
from setpoint.reports.results import MEASUREMENT_COLUMNS
from setpoint.testing.faults import LEDGER_VARIABLE, WRAPPER
from support import TESTS
from support.sweeps import BASE, make_plan, save_plan

TARGETS = {
    "sft": "support.chaos_stages:train",
    "grpo": "support.chaos_stages:train",
    "evaluate": "support.chaos_stages:run_policy",
    "reference": "setpoint.evaluation.stage:run_reference",
}
EXPERIMENT: dict[str, Any] = {
    "systems": ["di", "vdp"],
    "parameters": {"lora_rank": [4, 16]},
    "replicates": 8,
    "evaluation_cases": 5,
}
MEAN_PAUSE_S = 0.25
PATIENCE = dict.fromkeys(("lost", "crash", "host_oom"), 10_000)
"""Stages are killed on purpose, and more often than any machine would."""


@dataclass(frozen=True)
class Ledger:
    """What the wrapper around every stage wrote down: (event, stage, pid, time) in order."""

    lines: tuple[tuple[str, str, int, float], ...]

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """The ledger so far."""
        words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return cls(tuple((event, stage, int(pid), float(at)) for event, _, stage, pid, at in words))

    def count(self, event: str) -> int:
        """How often something happened."""
        return sum(found == event for found, *_ in self.lines)


def coordinate(root: Path) -> None:
    """Run the saved plan to its end, in this process."""
    workspace = Workspace(root)
    plan = read_plan(workspace.experiment("sweep"))
    assert plan is not None
    request = Request(workspace, plan.experiment, planned_spec(plan), BASE, plan)
    preload = ["support.chaos_stages", "setpoint.evaluation.stage", "setpoint.experiments.launch"]
    options = launch.Options(workers=2, executor=LocalExecutor(preload=preload), targets=TARGETS, retries=PATIENCE)
    launch.run(launch.Preparation(request, plan, {}, ()), options)


def start(root: Path, ledger: Path) -> subprocess.Popen[bytes]:
    """A coordinator in a process of its own."""
    environment = os.environ | {
        "PYTHONPATH": str(TESTS),
        WRAPPER_VARIABLE: WRAPPER,
        LEDGER_VARIABLE: str(ledger),
    }
    return subprocess.Popen([sys.executable, "-m", "support.chaos", "--coordinate", str(root)], env=environment)


def finished(workspace: Workspace, plan: Plan) -> set[str]:
    """Stages that are finished now."""
    return {name for name, stage in plan.stages.items() if workspace.stage(stage.kind, name).finished()}


def disturb(root: Path, ledger: Path, plan: Plan, kills: int, seed: int) -> tuple[int, int, list[str]]:
    """Kill `kills` times, then let the experiment end.

    Returns the coordinators and workers that were killed, and the stages that ran again after they had finished.
    """
    chance, workspace = random.Random(seed), Workspace(root)
    struck: Counter[str] = Counter()
    repeated: list[str] = []
    coordinator = start(root, ledger)
    while True:
        done, before = finished(workspace, plan), len(Ledger.read(ledger).lines)
        busy = _wait_for_work(coordinator, ledger, before)
        time.sleep(chance.expovariate(1 / MEAN_PAUSE_S))
        if busy and coordinator.poll() is None and sum(struck.values()) < kills:
            family = [p for p in psutil.Process(coordinator.pid).children(recursive=True) if _is_worker(p, ledger)]
            if family and chance.random() < 0.6:
                victims, kind = [chance.choice(family)], "worker"
                victims[0].kill()
            else:
                victims, kind = family, "coordinator"
                coordinator.kill()
                coordinator.wait()
            psutil.wait_procs(victims, timeout=20)
            struck[kind] += 1
        elif coordinator.poll() == 0 and len(done) == len(plan.stages):
            break
        repeated += [
            stage for event, stage, *_ in Ledger.read(ledger).lines[before:] if event == "start" and stage in done
        ]
        if coordinator.poll() is not None and finished(workspace, plan) != set(plan.stages):
            coordinator = start(root, ledger)
    return struck["coordinator"], struck["worker"], repeated


def _wait_for_work(coordinator: "subprocess.Popen[bytes]", ledger: Path, before: int) -> bool:
    """Wait until another execution starts; False where the coordinator ends first."""
    while coordinator.poll() is None:
        if any(event == "start" for event, *_ in Ledger.read(ledger).lines[before:]):
            return True
        time.sleep(0.02)
    return False


def _is_worker(process: psutil.Process, ledger: Path) -> bool:
    return process.pid in {pid for _, _, pid, _ in Ledger.read(ledger).lines}


def outcome(root: Path) -> tuple[list[dict[str, Any]], Any]:
    """Result rows and claims, without what clocks and counters measured."""
    from setpoint.analysis.data.reading import read_experiment
    from setpoint.reports.results import result_rows

    folder = root / "experiments" / "sweep"
    report = write_reports(folder)
    rows = [
        {name: value for name, value in row.items() if name not in MEASUREMENT_COLUMNS}
        for row in result_rows(read_experiment(folder))
    ]
    return rows, read_json(report.with_name("claims.json"))


def main(words: Sequence[str] | None = None) -> int:
    """Print what the kills did; 1 when they did anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replicates", type=int, default=EXPERIMENT["replicates"], help="size of the experiment")
    parser.add_argument("--coordinate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.coordinate is not None:
        coordinate(arguments.coordinate)
        return 0
    plan = make_plan(**{**EXPERIMENT, "replicates": arguments.replicates})
    with tempfile.TemporaryDirectory() as folder:
        calm, wild = Path(folder) / "calm", Path(folder) / "wild"
        for root in (calm, wild):
            save_plan(root, plan)
        assert start(calm, calm / "ledger.txt").wait() == 0
        ledger = wild / "ledger.txt"
        coordinators, workers, repeated = disturb(wild, ledger, plan, arguments.kills, arguments.seed)
        status = read_status(Workspace(wild), "sweep")
        lines = Ledger.read(ledger)
        checks = {
            "stages run again after they had finished": len(repeated),
            "stages run twice at the same time": lines.count("overlap"),
            "stages lost": len(set(plan.stages) - finished(Workspace(wild), plan)),
            "runs not ok": len(status.runs) - status.counts.get("ok", 0),
            "differences from the undisturbed results and claims": int(outcome(calm) != outcome(wild)),
        }
    starts = lines.count("start")
    print(f"{len(plan.stages)} stages, {len(plan.runs)} runs; {coordinators} coordinators and {workers} workers killed")
    print(f"{starts} executions were started, {starts - len(plan.stages)} of them for stages that had been killed")
    print("\n".join(f"{number} {name}" for name, number in checks.items()))
    return int(any(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
