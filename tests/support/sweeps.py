"""Small experiments for tests: real plans, whose stages are replaced by cheap ones.

As a program (`python -m support.sweeps WORKSPACE`) it runs the default one, for tests that kill the coordinator.
"""

import sys
from pathlib import Path
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.execution import LocalExecutor
from setpoint.experiments import launch
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import make_spec, planned_spec
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.request import Request
from setpoint.policies import BaseModel
from setpoint.policies.presets import TINY
from setpoint.records.plan import NamedDigest, Plan, read_plan, write_plan
from setpoint.records.state import ExperimentState

BASE = BaseModel(name="builtin:tiny", location=str(Path(__file__).parent), digest="b0", preset=TINY)
TARGETS = dict.fromkeys(STAGES, "support.stage_targets:write_and_count")
DEFAULT: dict[str, Any] = {"systems": "di", "parameters": {"lora_rank": [4, 8]}}


def make_plan(*, data_digest: str = "d0", base: BaseModel = BASE, **fields: Any) -> Plan:
    """The plan of an experiment called `sweep`; with no fields, of the default one."""
    spec = canonical_spec(make_spec(fields or DEFAULT))
    datasets = {system: NamedDigest(name=system, digest=data_digest) for system in spec.systems}
    return build_plan(spec, "sweep", Inputs(base, datasets))


def save_plan(root: Path, plan: Plan) -> None:
    """Make `plan` the frozen plan of its experiment."""
    write_plan(root / "experiments" / plan.experiment, plan)


def run_plan(root: Path, plan: Plan | None = None, **options: Any) -> ExperimentState:
    """Run a plan (by default the saved one, or a new one) with the cheap stages in this process's children."""
    workspace = Workspace(root)
    plan = plan or read_plan(workspace.experiment("sweep")) or make_plan()
    request = Request(workspace, plan.experiment, planned_spec(plan), BASE, None)
    executor = LocalExecutor(preload=["pytest", "setpoint.experiments.launch"])  # what children import to start
    return launch.run(
        launch.Preparation(request, plan, {}, ()), launch.Options(executor=executor, targets=TARGETS, **options)
    )


def executions(root: Path) -> list[str]:
    """Stage ids in the order in which they were executed."""
    ledger = root / "ledger.txt"
    return ledger.read_text().split() if ledger.exists() else []


if __name__ == "__main__":
    run_plan(Path(sys.argv[1]))
