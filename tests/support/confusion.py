"""The confusion matrix of injected faults against recognised failure classes: `make confusion`.

Every fault is injected into a real training stage on the built-in base, in a real worker of a real experiment.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.demonstrations import Recipe, create
from setpoint.execution import Limits, LocalExecutor
from setpoint.execution.worker import WRAPPER_VARIABLE
from setpoint.experiments import launch
from setpoint.experiments.planning.spec import make_spec
from setpoint.experiments.planning.stages import PRELOAD
from setpoint.experiments.request import make_request
from setpoint.experiments.running import coordinator
from setpoint.testing.faults import CLASS_OF_FAULT, FAULTS_VARIABLE, WRAPPER

SURVIVED = "survived"
LIMITS = Limits(memory_gb=2.5, stall_s=10.0)
SMALL = {"sft.steps": 2, "sft.batch_size": 4, "grpo.steps": 2, "grpo.batch_size": 8, "grpo.num_generations": 4}


@dataclass(frozen=True)
class Case:
    """One injection: where, and what must become of it."""

    fault: str
    kind: str
    expected: str


CASES = (
    *(Case(name, "grpo" if name == "equal_rewards" else "sft", expected) for name, expected in CLASS_OF_FAULT.items()),
    *(Case("gpu_oom_backward", kind, SURVIVED) for kind in ("sft", "grpo")),
    Case("gpu_oom_generate", "grpo", SURVIVED),
    Case("corrupt*1", "sft", SURVIVED),
    Case("connection*1", "sft", SURVIVED),
)


@dataclass(frozen=True)
class Found:
    """What became of an injection."""

    recognised: str
    attempts: int
    reductions: int | None


def inject(workspace: Workspace, case: Case, seed: int) -> Found:
    """Run one small experiment with the fault in it."""
    fields = {"type": "single", "systems": "double_integrator", "dataset_name": "small", "evaluation_cases": 2}
    settings = {name: value for name, value in SMALL.items() if name.startswith(case.kind)}
    spec = make_spec({**fields, "training_types": case.kind, "seed": seed, "fixed": settings})
    request = make_request(workspace, spec)
    prepared = launch.prepare(request, lambda _: None)
    plan = prepared.plan
    environment = {WRAPPER_VARIABLE: WRAPPER, FAULTS_VARIABLE: f"{case.kind}={case.fault}"}
    executor = LocalExecutor(preload=PRELOAD, limits=LIMITS, environment=environment)
    status = launch.run(prepared, launch.Options(executor=executor))
    (run,) = status.runs.values()
    stage = workspace.stage(case.kind, plan.runs[0].stages[case.kind])
    manifest = stage.read_manifest()
    reductions = None if manifest is None else manifest.summary.get("memory_reductions")
    return Found(run.failure_class or SURVIVED, len(stage.attempts()), reductions)


def main(words: Sequence[str] | None = None) -> int:
    """Print the matrix; 1 when something is off its diagonal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=lambda text: text.split(","), help="only these")
    wanted = parser.parse_args(words).faults
    logging.disable(logging.WARNING)
    coordinator.BACKOFF_S = 0.2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        create(workspace, "small", Recipe(systems=("double_integrator",), total_samples=60), workers=1)
        for seed, case in enumerate(CASES):
            if wanted is None or case.fault in wanted:
                found = inject(workspace, case, seed)
                rows.append((case, found))
                print(f"{case.fault} in {case.kind}: {found}", file=sys.stderr, flush=True)
    print(matrix(rows))
    return int(any(found.recognised != case.expected for case, found in rows))


def matrix(rows: list[tuple[Case, Found]]) -> str:
    """One row for each injection, one column for each class; on the diagonal where every row has its expected class."""
    classes = list(dict.fromkeys([case.expected for case, _ in rows] + [found.recognised for _, found in rows]))
    head = ["injected", "in", "attempts", *classes]
    table = [head]
    for case, found in sorted(rows, key=lambda row: classes.index(row[0].expected)):
        marks = [
            "X" if name == found.recognised == case.expected else "!" if name == found.recognised else "."
            for name in classes
        ]
        table.append([case.fault, case.kind, str(found.attempts), *marks])
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    right = sum(found.recognised == case.expected for case, found in rows)
    return "\n".join([*lines, f"{right} of {len(rows)} as expected"])


if __name__ == "__main__":
    sys.exit(main())
