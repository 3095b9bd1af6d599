"""Which stages the plans of a workspace refer to. Every removal asks here first."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import StageFolder, StageKind, Workspace, is_identifier
from setpoint.errors import InputError
from setpoint.records.plan import Plan, plan_path, read_plan

ARCHIVE = "archive"
"""Folder of archived experiments, beside `experiments/`; their stages are referenced like those of others."""

Stage = tuple[StageKind, str]
"""Kind and id of a stage."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One experiment with its plan."""

    folder: Path
    plan: Plan

    @property
    def archived(self) -> bool:
        """Whether it is in the archive."""
        return self.folder.parent.name == ARCHIVE

    @property
    def stages(self) -> frozenset[Stage]:
        """Every stage that the plan refers to, upstream stages and adapters of other experiments included."""
        return frozenset((stage.kind, name) for name, stage in self.plan.stages.items())

    @property
    def builds_on(self) -> frozenset[str]:
        """Ids of the experiments that it confirms or follows."""
        follows = self.plan.provenance.get("follows")
        before = follows.get("experiment") if isinstance(follows, dict) else None
        return frozenset(name for name in (self.plan.confirms, before) if isinstance(name, str))


def planned_experiments(workspace: Workspace) -> list[Planned]:
    """Return every experiment of the workspace with its plan, archived ones included.

    Raises:
        InputError: a plan cannot be read, so that nobody knows what it refers to.
    """
    found = []
    for parent in (workspace.experiments, workspace.root / ARCHIVE):
        for folder in _folders(parent):
            if not os.path.lexists(plan_path(folder)):
                continue
            plan = read_plan(folder)
            if plan is None:  # a link to nothing
                raise InputError(f"{str(plan_path(folder))!r} leads nowhere. Restore it, or remove the link.")
            found.append(Planned(folder, plan))
    return found


def stored_stages(workspace: Workspace) -> Iterator[tuple[Stage, StageFolder]]:
    """Yield the stages on disk; links, and folders that no stage can have, are not among them."""
    if workspace.stages.is_symlink():
        return
    for kind in StageKind:
        parent = workspace.stages / kind
        for folder in () if parent.is_symlink() else _folders(parent):
            if is_identifier(folder.name) and not folder.is_symlink():
                yield (kind, folder.name), StageFolder(folder)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
