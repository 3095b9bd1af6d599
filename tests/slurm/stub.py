"""A light stand-in for the command line on a node: `stub.py stage run …` makes the attempt with the package's own code.

What a stage does is its configuration's `do`, and stages are read from plan.json without the layers that plan.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from setpoint.artifacts import StageContext, Workspace, write_text
from setpoint.errors import StageError
from setpoint.execution.attempt import EXIT_NOT_READY, attempt_task
from setpoint.execution.task import Task


def act(context: StageContext) -> dict[str, Any]:
    """Do what the configuration says, then publish a file that depends on the inputs.

    A file `fail-<kind>` in the workspace holds a part of the configurations that fail.
    """
    switch = context.workspace.root / f"fail-{context.kind}"
    if switch.exists() and switch.read_text() in json.dumps(context.config):
        diverge(context)
    ACTIONS[context.config.get("do", "write")](context)
    inputs = {role: (folder / "value.txt").read_text() for role, folder in sorted(context.needs.items())}
    (context.output / "value.txt").write_text(f"{context.config.get('value')!r} {inputs} {context.seed}")
    return {"inputs": len(inputs)}


def count(context: StageContext) -> None:
    """Steps of a fifth of a second with a checkpoint after each."""
    saved = context.checkpoints / "step"
    first = int(saved.read_text()) if saved.exists() else 0
    for step in range(first, context.config["steps"]):
        context.log({"step": step})
        time.sleep(0.2)
        saved.with_suffix(".new").write_text(str(step + 1))
        saved.with_suffix(".new").replace(saved)
        reason = context.must_end()
        if reason is not None:
            raise StageError("preempted", reason, evidence={"step": step + 1}, suggestion="resume")


def fill_memory(context: StageContext) -> None:
    """More than the job asked for."""
    held = [bytearray(b"x") * (16 << 20) for _ in range(context.config.get("megabytes", 600) // 16)]
    time.sleep(context.config.get("seconds", 20))
    assert held


def diverge(_context: StageContext) -> None:
    raise StageError("diverged", "the loss is nan", evidence={}, suggestion="lower learning_rate")


ACTIONS = {
    "write": lambda _context: None,
    "sleep": lambda context: time.sleep(context.config["seconds"]),
    "count": count,
    "fill_memory": fill_memory,
    "diverge": diverge,
    "kill_script": lambda _context: subprocess.run("kill -9 $(ps -o ppid= $PPID) $PPID", shell=True, check=False),
}


def task_of(root: Path, experiment: str, name: str) -> Task:
    """The task of a stage in plan.json."""
    stages = json.loads((root / "experiments" / experiment / "plan.json").read_text())["stages"]
    stage = stages[name]
    needs = {role: Workspace(root).stage(stages[need]["kind"], need).path for role, need in stage["needs"].items()}
    return Task(root, stage["kind"], name, "stub:act", stage["config"], stage["seed"], needs)


def report(experiment: Path) -> Path:
    """A report of one line, for stages that publish nothing to report on."""
    path = experiment / "reports" / "report.txt"
    write_text(path, f"=== Experiment Report: {experiment.name} ===\n")
    return path


def main() -> int:
    if sys.argv[1] != "stage":
        import setpoint.reports
        from setpoint.cli.main import main as command_line

        setpoint.reports.write_reports = report
        return command_line(sys.argv[1:])
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs=2)
    for name in ("experiment", "stage", "workspace"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    task = task_of(Path(given.workspace), given.experiment, given.stage)
    if not all((folder / "manifest.json").exists() for folder in task.needs.values()):
        print("what it needs is not finished", file=sys.stderr)
        return EXIT_NOT_READY
    return attempt_task(task)


if __name__ == "__main__":
    sys.exit(main())
