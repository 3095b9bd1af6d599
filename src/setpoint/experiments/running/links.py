"""Readable names for trained adapters: relative links from `models/` into the stage folders.

models/single_system/<system>/{sft,dagger,grpo}/<run>      a specialist
models/universal/<system>+<system>/{sft,dagger,grpo}/<run> one adapter for several systems
…/latest                                            the newest of its folder
"""

import os
from pathlib import Path

from setpoint.artifacts import TRAINING_KINDS, Workspace, remove_leftovers, require_real, temporary_path
from setpoint.records.plan import Plan, PlannedRun

LATEST = "latest"


def link_models(workspace: Workspace, plan: Plan) -> list[Path]:
    """Link the adapter of every finished training stage of the plan; return the links in the order of the runs.

    Raises:
        InputError: a folder of the models is a link.
    """
    for place in model_folders(workspace, plan):
        require_real(place, workspace.root)
    remove_leftovers(workspace.models, below=True)
    made = []
    for run in plan.runs:
        for kind in TRAINING_KINDS:
            folder = workspace.stage(kind, run.stages[kind]) if kind in run.stages else None
            if folder is not None and folder.finished():
                parent = _family(workspace, run) / kind
                made.append(_link(parent / run.name, folder.path / "adapter"))
                _link(parent / LATEST, parent / run.name)
    return made


def model_folders(workspace: Workspace, plan: Plan) -> list[Path]:
    """Return the folders that hold the links of the plan's runs."""
    found = {_family(workspace, run) / kind for run in plan.runs for kind in TRAINING_KINDS if kind in run.stages}
    return sorted(found)


def _family(workspace: Workspace, run: PlannedRun) -> Path:
    if run.model_type == "specialist":
        return workspace.models / "single_system" / run.systems[0]
    return workspace.models / "universal" / "+".join(run.systems)


def _link(link: Path, target: Path) -> Path:
    """Point `link` at `target` atomically, so that readers never find it missing."""
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(link)
    temporary.symlink_to(os.path.relpath(target, link.parent))
    return temporary.replace(link)
