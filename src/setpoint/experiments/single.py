"""Training one model: an experiment of one run, named by its run id."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.experiments.plan import Plan, PlannedRun
from setpoint.experiments.spec import ExperimentSpec, Value, make_spec

SPECIALIST = "scripts/train_single_system.py"
UNIVERSAL = "scripts/train_universal.py"
_LONGEST_ID = 120
_IDENTITY = 40


def single_spec(
    systems: Sequence[str],
    training_type: str,
    *,
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
            "systems": list(systems),
            "training_types": [training_type],
            "fixed": dict(parameters or {}),
            **fields,
        }
    )


def run_id(name: str) -> str:
    """The name of a run as an identifier; the end of a name, which is unique, is kept."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")
    return text if len(text) <= _LONGEST_ID else f"{text[: _LONGEST_ID - _IDENTITY - 1]}-{text[-_IDENTITY:]}"


def training_commands(plan: Plan, workspace: Workspace) -> list[str]:
    """For every run, the command that trains it alone, with the same stage ids."""
    return [shlex.join(["setpoint", "train", *_training_words(plan, run, workspace)]) for run in plan.runs]


def script_commands(plan: Plan, workspace: Workspace) -> list[str]:
    """The same as lines for a shell in the repository's folder, with its scripts."""
    scripts = [UNIVERSAL if len(run.systems) > 1 else SPECIALIST for run in plan.runs]
    return [
        shlex.join(["python", script, *_training_words(plan, run, workspace)])
        for script, run in zip(scripts, plan.runs, strict=True)
    ]


def _training_words(plan: Plan, run: PlannedRun, workspace: Workspace) -> list[str]:
    spec = plan.spec
    settings = [f"{name}={value}" for name, value in run.settings.items()]
    named = dict(zip(spec.systems, spec.datasets, strict=False))
    options = {
        "--systems" if len(run.systems) > 1 else "--system": ",".join(run.systems),
        "--training-type": run.training_type,
        "--run-id": run_id(run.name),
        "--seed": run.seed,
        "--datasets": ",".join(named[system] for system in run.systems) if named else None,
        "--dataset-name": spec.dataset_name,
        "--match": spec.match if len(run.systems) > 1 and spec.match != "per_system" else None,
        "--start-from": None if run.start is None else f"{plan.stages[run.start].kind}/{run.start}",
        "--base-model": spec.base_model,
        "--evaluation": spec.evaluation,
        "--evaluation-cases": spec.evaluation_cases,
        "--expert": spec.expert,
        "--workspace": None if workspace.root == Path() else workspace.root,
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return [*words, *(["--set", *settings] if settings else [])]
