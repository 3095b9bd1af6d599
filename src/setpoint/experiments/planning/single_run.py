"""Single training runs: experiments of one run, named by their run id."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.experiments.planning.spec import CrossSystemSpec, ExperimentSpec, SingleSpec, planned_spec
from setpoint.records.plan import Plan, Value

SPECIALIST = "scripts/train_single_system.py"
UNIVERSAL = "scripts/train_universal.py"
_LONGEST_ID = 120
_IDENTITY = 40


def single_fields(*, training_type: str = "both", parameters: object = None, **fields: object) -> dict[str, object]:
    """Return the specification fields of one run; `fields` are further fields of `SingleSpec`."""
    fixed = {} if parameters is None else parameters
    return {"type": "single", "training_types": [training_type], "fixed": fixed, **fields}


def run_id(name: str) -> str:
    """Return a run name as an identifier. Long names are cut in the middle, because their end is unique."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")
    return text if len(text) <= _LONGEST_ID else f"{text[: _LONGEST_ID - _IDENTITY - 1]}-{text[-_IDENTITY:]}"


@dataclass(frozen=True, slots=True)
class SingleRunCommand:
    """Arguments of the command that trains a single run.

    Attributes:
        start: adapter that it trains further, as `kind/id`.
    """

    name: str
    systems: tuple[str, ...]
    training_type: str
    seed: int
    settings: Mapping[str, Value]
    start: str | None

    def options(self, spec: ExperimentSpec, workspace: Workspace) -> list[str]:
        """Return the command-line options that train the run as in an experiment of `spec`."""
        several = len(self.systems) > 1
        total = several and isinstance(spec, CrossSystemSpec | SingleSpec) and spec.match == "total"
        named = dict(zip(spec.systems, spec.datasets, strict=False))
        given = {
            "--systems" if several else "--system": ",".join(self.systems),
            "--training-type": self.training_type,
            "--run-id": run_id(self.name),
            "--seed": self.seed,
            "--datasets": ",".join(named[system] for system in self.systems) if named else None,
            "--dataset-name": spec.dataset_name,
            "--match": "total" if total else None,
            "--start-from": self.start,
            "--base-model": spec.base_model,
            "--evaluation": spec.evaluation,
            "--evaluation-cases": spec.evaluation_cases,
            "--expert": spec.expert,
            "--workspace": None if workspace.root == Path() else workspace.root,
        }
        words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        return [*words, *(["--set", *(f"{k}={v}" for k, v in self.settings.items())] if self.settings else [])]


def training_command(spec: ExperimentSpec, run: SingleRunCommand) -> str:
    """Return the command that trains a run alone, with the same stage ids, if called in the workspace folder."""
    words = ("setpoint", "train", *run.options(spec, Workspace(Path())))
    return " ".join(map(_quoted, words))


_quoted = lru_cache(4096)(shlex.quote)
"""Quotes a word of a command once: the commands of one plan share nearly all their words."""


def script_commands(plan: Plan, workspace: Workspace) -> list[str]:
    """Return one shell command per run that trains it alone, if called in the repository root."""
    lines = []
    spec = planned_spec(plan)
    for run in plan.runs:
        script = UNIVERSAL if len(run.systems) > 1 else SPECIALIST
        start = None if run.start is None else f"{plan.stages[run.start].kind}/{run.start}"
        command = SingleRunCommand(run.name, run.systems, run.training_type, run.seed, run.settings, start)
        lines.append(shlex.join(["python", script, *command.options(spec, workspace)]))
    return lines
