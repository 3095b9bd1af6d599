"""What the experiment runner itself costs: planning, status, and coordinating stages that do nothing.

Processor time, for it does not depend on what else the machine is doing.
"""

import sys
import tempfile
import time
from pathlib import Path

from setpoint.artifacts import StageContext, Workspace, write_json
from setpoint.execution import LocalExecutor
from setpoint.experiments import launch
from setpoint.experiments.plan import Named, Plan, plan_path
from setpoint.experiments.planning import Inputs, build_plan, canonical_spec, check_values
from setpoint.experiments.spec import make_spec
from setpoint.experiments.stages import STAGES
from setpoint.experiments.status import RunState, Status, read_status
from setpoint.policies import BaseModel
from setpoint.policies.presets import TINY

BASE = BaseModel(name="builtin:tiny", location="nowhere", digest="b0", preset=TINY)


def no_op(context: StageContext) -> dict[str, int]:
    """A stage that publishes one small file."""
    (context.output / "value.txt").write_text(context.stage_id)
    return {"value": 1}


def make_plan(values: int, replicates: int) -> Plan:
    """A sweep of `values` learning rates."""
    rates = [1e-5 * (1 + k) for k in range(values)]
    fields = {"systems": "di", "parameters": {"learning_rate": rates}, "replicates": replicates}
    spec = canonical_spec(make_spec(fields))
    check_values(spec, TINY)
    return build_plan(spec, "benchmark", Inputs(BASE, {"double_integrator": Named(name="d", digest="d0")}))


def planning_s() -> float:
    """Validate and plan 10,000 runs."""
    make_plan(1, 1)
    started = time.process_time()
    plan = make_plan(1000, 10)
    assert len(plan.runs) == 10_000
    return time.process_time() - started


def status_s(root: Path) -> float:
    """The state of 100,000 runs."""
    runs = {f"run-{k}": RunState("ok") for k in range(100_000)}
    write_json(root / "experiments" / "large" / "state.json", Status("large", "finished", runs).to_json())
    started = time.process_time()
    assert read_status(Workspace(root), "large").counts == {"ok": 100_000}
    return time.process_time() - started


def coordinating_s(root: Path) -> tuple[float, int]:
    """Processor seconds of the coordinator alone over stages that do nothing, and how many there were."""
    plan = make_plan(10, 1)
    write_json(plan_path(root / "experiments" / "benchmark"), plan.to_json())
    executor = LocalExecutor(preload=["setpoint.experiments.launch", "setpoint.artifacts"])
    options = launch.Options(workers=2, executor=executor, targets=dict.fromkeys(STAGES, "overhead:no_op"))
    request = launch.Request(Workspace(root), "benchmark", plan.spec, BASE, plan)
    started = time.process_time()
    status = launch.run(request, plan, options)
    assert status.counts == {"ok": 10}
    return time.process_time() - started, len(plan.stages)


def main() -> int:
    """Print the figures beside their bounds."""
    with tempfile.TemporaryDirectory() as folder:
        planning, status = planning_s(), status_s(Path(folder))
        coordinating, stages = coordinating_s(Path(folder))
    print(f"plan and validate 10,000 runs: {planning:.2f} s of one core (bound 2 s)")
    print(f"status of 100,000 runs: {status:.2f} s of one core (bound 0.5 s)")
    print(f"coordinator: {1000 * coordinating / stages:.1f} ms of one core for each of {stages} stages")
    return int(planning > 2.0 or status > 0.5)


if __name__ == "__main__":
    sys.exit(main())
