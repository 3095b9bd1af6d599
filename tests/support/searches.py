"""Searches with cheap stages. As a program (`python -m support.searches WORKSPACE`), for tests that kill it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.execution import LocalExecutor
from setpoint.experiments import launch
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import SweepSpec, make_spec, planned_spec
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.request import Request
from setpoint.experiments.search.trials import first_points
from setpoint.records.journal import Event
from setpoint.records.plan import NamedDigest, Plan, read_plan
from setpoint.records.state import ExperimentState
from support.sweeps import BASE

TARGETS = dict.fromkeys(STAGES, "support.stage_targets:write_and_score")
DATA = {"double_integrator": NamedDigest(name="di", digest="d0")}
FIELDS: dict[str, Any] = {
    "systems": "di",
    "training_types": ["sft"],
    "parameters": {"lora_rank": [2, 4, 8, 16]},
    "ranges": {"learning_rate": {"min": 1e-5, "max": 1e-2, "scale": "log"}},
    "replicates": 2,
    "search": {"sampler": "tpe", "trials": 9, "batch": 2},
}


def spec_of(**fields: Any) -> SweepSpec:
    """The specification of a search over rank and learning rate."""
    spec = canonical_spec(make_spec({**FIELDS, **fields}))
    assert isinstance(spec, SweepSpec)
    return spec


def search(
    root: Path, name: str = "search", listener: Callable[[Event], None] = lambda _: None, **fields: Any
) -> ExperimentState:
    """Run or resume a search in this process's children."""
    workspace, inputs = Workspace(root), Inputs(BASE, DATA)
    existing = read_plan(workspace.experiment(name))
    spec = planned_spec(existing) if existing is not None else spec_of(**fields)
    assert isinstance(spec, SweepSpec)
    if existing is None:
        spec = first_points(
            workspace, spec, lambda points: build_plan(spec.model_copy(update={"points": tuple(points)}), name, inputs)
        )
    request = Request(workspace, name, spec, BASE, existing)
    prepared = launch.Preparation(request, existing or build_plan(spec, name, inputs), DATA, ())
    executor = LocalExecutor(preload=["pytest", "setpoint.experiments.launch"])
    options = launch.Options(executor=executor, targets=TARGETS, workers=2, listeners=(listener,))
    return launch.run(prepared, options)


def plan_of(root: Path, name: str = "search") -> Plan:
    """The plan with all its trials."""
    plan = read_plan(Workspace(root).experiment(name))
    assert plan is not None
    return plan


if __name__ == "__main__":
    search(Path(sys.argv[1]))
