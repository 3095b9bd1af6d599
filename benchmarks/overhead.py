"""What the experiment runner itself costs: planning, status, and coordinating stages that do nothing.

CPU time where it can be, for it does not depend on what else the machine is doing.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from setpoint.artifacts import StageContext, Workspace
from setpoint.execution import LocalExecutor, Task
from setpoint.experiments import launch
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec, check_values
from setpoint.experiments.planning.spec import make_spec, planned_spec
from setpoint.experiments.planning.stages import PRELOAD, STAGES
from setpoint.experiments.request import Request
from setpoint.experiments.running.status import read_status
from setpoint.policies import BaseModel
from setpoint.policies.presets import TINY
from setpoint.records.plan import NamedDigest, Plan, write_plan
from setpoint.records.state import ExperimentStatus, RunState, RunStatus, Status, write_state

BASE = BaseModel(name="builtin:tiny", location="nowhere", digest="b0", preset=TINY)


def no_op(context: StageContext) -> dict[str, int]:
    """A stage that publishes one small file."""
    (context.output / "value.txt").write_text(context.stage_id)
    return {"value": 1}


def external(context: StageContext) -> dict[str, int]:
    """A stage that runs a command and publishes one small file."""
    subprocess.run(["true"], check=True)
    return no_op(context)


def make_plan(values: int, replicates: int) -> Plan:
    """A sweep of `values` learning rates."""
    rates = [1e-5 * (1 + k) for k in range(values)]
    return planned({"systems": "di", "parameters": {"learning_rate": rates}, "replicates": replicates})


def planned(fields: dict[str, Any]) -> Plan:
    """The plan of a specification, checked in full."""
    spec = canonical_spec(make_spec(fields))
    check_values(spec, TINY)
    return build_plan(spec, "benchmark", Inputs(BASE, {"double_integrator": NamedDigest(name="d", digest="d0")}))


def planning_s() -> float:
    """Validate and plan 10,000 runs."""
    make_plan(1, 1)
    started = time.process_time()
    plan = make_plan(1000, 10)
    assert len(plan.runs) == 10_000
    return time.process_time() - started


def status_s(root: Path) -> float:
    """The state of 100,000 runs."""
    runs = {f"run-{k}": RunState(RunStatus.OK) for k in range(100_000)}
    write_state(root / "experiments" / "large", Status("large", ExperimentStatus.FINISHED, runs))
    started = time.process_time()
    assert read_status(Workspace(root), "large").counts == {"ok": 100_000}
    return time.process_time() - started


def command_s(count: int) -> float:
    """CPU seconds of one external command that does nothing, its start included."""
    started = _cpu_s()
    for _ in range(count):
        subprocess.run(["true"], check=True)
    return (_cpu_s() - started) / count


def coordinating_s(root: Path, values: int) -> float:
    """CPU seconds of the coordinator for each stage that runs such a command in a worker."""
    plan = make_plan(values, 1)
    write_plan(root / "experiments" / "benchmark", plan)
    executor = LocalExecutor(preload=["setpoint.experiments.launch", "setpoint.artifacts"])
    options = launch.Options(workers=2, executor=executor, targets=dict.fromkeys(STAGES, "overhead:external"))
    request = Request(Workspace(root), "benchmark", planned_spec(plan), BASE, plan)
    started = time.process_time()
    status = launch.run(launch.Preparation(request, plan, {}, ()), options)
    assert status.counts == {"ok": values}
    return (time.process_time() - started) / len(plan.stages)


def warm_and_cold_s(root: Path, repeats: int) -> tuple[float, float]:
    """Wall seconds of a stage that does nothing in a warm worker, and of a Python that imports as much; the fastest."""
    executor = LocalExecutor(preload=PRELOAD)
    warm = []
    for number in range(repeats + 1):  # the first one starts the server
        task = Task(root, "sft", f"warm-{number}", "overhead:no_op", {}, 0, {})
        started = time.monotonic()
        outcome = executor.submit(task).wait()
        assert outcome is not None and outcome.state == "finished"
        warm.append(time.monotonic() - started)
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {', '.join(PRELOAD)}"], check=True)
    return min(warm[1:]), time.monotonic() - started


def sharing(arms: int, replicates: int) -> int:
    """SFT stages of an ablation whose arms differ in GRPO parameters alone."""
    temperatures = [0.5 + 0.1 * k for k in range(arms)]
    fields = {"systems": "di", "parameters": {"grpo.temperature": temperatures}, "replicates": replicates}
    plan = planned({"type": "training_ablation", "strategies": ["sft_only", "sft_then_grpo"], **fields})
    return sum(stage.kind == "sft" for stage in plan.stages.values())


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def main() -> int:
    """Print the figures beside their bounds; 1 where one is missed."""
    figures = [
        ("plan and validate 10,000 runs", planning_s(), 2.0, "s of one core"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        figures.append(("status of 100,000 runs", status_s(root), 0.5, "s of one core"))
        command = command_s(200)
        coordinating = coordinating_s(root, 50)
        figures.append(("coordinator for a no-op command", 1000 * coordinating, 1000 * command + 3.0, "ms of one core"))
        warm, cold = warm_and_cold_s(root, 10)
        figures.append(("no-op stage in a warm worker", warm, 0.05 * cold, f"s; a cold start takes {cold:.2f} s"))
    missed = 0
    for name, value, bound, unit in figures:
        missed += value > bound
        print(f"{name}: {value:.3g} (bound {bound:.3g}) {unit}{'' if value <= bound else '  MISSED'}")
    arms, replicates = 4, 3
    found = sharing(arms, replicates)
    missed += found != replicates
    naive = replicates * (1 + arms)
    print(f"ablation with {arms} GRPO arms and {replicates} replicates: {found} SFT models, not {naive}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
