"""Training one model: an experiment of one run, named by its run id."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.experiments.plan import Plan, PlannedRun
from setpoint.experiments.spec import ExperimentSpec, Value, make_spec


def single_spec(
    system: str,
    training_type: str,
    *,
    dataset_name: str | None = None,
    parameters: Mapping[str, Value] | None = None,
    **fields: object,
) -> ExperimentSpec:
    """The specification of one run; `fields` are further fields of `ExperimentSpec`.

    Raises:
        InputError: everything that is wrong with it.
    """
    return make_spec(
        {
            "type": "single",
            "systems": [system],
            "training_types": [training_type],
            "dataset_name": dataset_name,
            "fixed": dict(parameters or {}),
            **fields,
        }
    )


def training_commands(plan: Plan, workspace: Workspace) -> list[str]:
    """For every run, the command that trains it alone, with the same stage ids."""
    return [shlex.join(_training_words(plan, run, workspace)) for run in plan.runs]


def _training_words(plan: Plan, run: PlannedRun, workspace: Workspace) -> list[str]:
    spec = plan.spec
    (system,) = run.systems
    swept = {name: value for name, value in run.factors.items() if name != "training_type"}
    settings = [f"{name}={value}" for name, value in {**spec.fixed, **swept}.items()]
    named = dict(zip(spec.systems, spec.datasets, strict=False)).get(system, spec.dataset_name)
    options = {
        "--system": system,
        "--training-type": run.training_type,
        "--run-id": run.name.replace("=", "-"),
        "--seed": run.seed,
        "--dataset-name": named,
        "--base-model": spec.base_model,
        "--evaluation": spec.evaluation,
        "--evaluation-cases": spec.evaluation_cases,
        "--expert": spec.expert,
        "--workspace": None if workspace.root == Path() else workspace.root,
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return ["setpoint", "train", *words, *(["--set", *settings] if settings else [])]
