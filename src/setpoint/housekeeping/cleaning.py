"""Find and remove what no experiment needs: unreferenced stages, leftovers of finished ones, and links to nothing."""

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from setpoint.artifacts import StageFolder, StageKind, Workspace, is_leftover, remove, require_real, temporary_path
from setpoint.errors import InputError
from setpoint.housekeeping.references import planned_experiments, stored_stages
from setpoint.housekeeping.usage import size_of


class Reason(StrEnum):
    """Why something can be removed."""

    UNREFERENCED = "no plan refers to this stage"
    CHECKPOINTS = "checkpoints of a finished stage"
    OUTPUT = "unpublished output of a finished stage"
    LEFTOVER = "left by a killed process"
    DANGLING = "link to an adapter that does not exist"


@dataclass(frozen=True, slots=True)
class Removable:
    """A file, folder or link that can be removed."""

    path: Path
    reason: Reason
    bytes: int


def removable(workspace: Workspace) -> list[Removable]:
    """Return what `clean` would remove. A stage that a process may be working on is never among it.

    Raises:
        InputError: a plan cannot be read, so that nobody knows which stages it refers to.
    """
    on_disk = list(stored_stages(workspace))  # before the plans: a stage that appears later is not judged
    referenced = {stage for each in planned_experiments(workspace) for stage in each.stages}
    found: list[Removable] = []
    for stage, folder in on_disk:
        if in_use(folder):
            continue
        if stage not in referenced:
            found.append(_sized(folder.path, Reason.UNREFERENCED))
        else:
            found += _leftovers_of(folder)
    found += [_sized(path, Reason.LEFTOVER) for path in _leftovers(workspace)]
    going = {each.path.resolve() for each in found if each.reason is Reason.UNREFERENCED}
    return [*found, *(Removable(link, Reason.DANGLING, 0) for link in dangling_links(workspace, going))]


def clean(workspace: Workspace) -> list[Removable]:
    """Remove everything that is removable, and return what was removed.

    A stage is renamed before its files are deleted, so that no other command finds half of it.

    Raises:
        InputError: a plan cannot be read, or a folder on the way is a link. Nothing was removed.
    """
    wanted = removable(workspace)
    for each in wanted:
        require_real(each.path.parent, workspace.root)
    still = {each.path for each in removable(workspace)}  # an experiment may have been planned meanwhile
    return [each for each in wanted if each.path in still and remove_whole(each.path)]


def remove_whole(path: Path) -> bool:
    """Rename `path` out of the way and delete it; return whether it is gone. A link is deleted, never its target."""
    if not os.path.lexists(path):
        return False
    aside = temporary_path(path)
    path.rename(aside)
    remove(aside)
    return not os.path.lexists(aside)


def in_use(folder: StageFolder) -> bool:
    """Return whether a process may be working on the stage."""
    attempt = folder.latest_attempt()
    return attempt is not None and attempt.running()


def dangling_links(workspace: Workspace, going: Collection[Path] = ()) -> Iterator[Path]:
    """Yield the links below `models/` that lead to no adapter, or to one of the stages `going`."""
    if workspace.models.is_symlink():
        return
    for place, folders, files in os.walk(workspace.models):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink() and (not path.exists() or path.resolve().parent in going):
                yield path


def require_idle(workspace: Workspace, stages: Iterable[StageFolder]) -> None:
    """Check that no process works on any of the stages, and that none of them is reached through a link.

    Raises:
        InputError: one is in use, or a link.
    """
    for folder in stages:
        require_real(folder.path, workspace.root)
        if in_use(folder):
            raise InputError(f"stage {folder.path.name} is being computed. Wait for it, or stop the process first.")


def _leftovers_of(folder: StageFolder) -> Iterator[Removable]:
    """Yield what a finished stage keeps although its result is published; an unfinished one needs its checkpoints."""
    if not folder.finished():
        return
    if folder.checkpoints.is_dir() and not folder.checkpoints.is_symlink():
        yield _sized(folder.checkpoints, Reason.CHECKPOINTS)
    for attempt in folder.attempts():
        if attempt.output.is_dir() and not attempt.output.is_symlink():
            yield _sized(attempt.output, Reason.OUTPUT)


def _leftovers(workspace: Workspace) -> Iterator[Path]:
    """Yield temporary files and folders whose writer is gone, in the folders that hold stages and datasets."""
    kinds = [] if workspace.stages.is_symlink() else [workspace.stages / kind for kind in StageKind]
    for folder in (workspace.datasets, *kinds):
        if folder.is_dir() and not folder.is_symlink():
            yield from (path for path in sorted(folder.iterdir()) if is_leftover(path))


def _sized(path: Path, reason: Reason) -> Removable:
    return Removable(path, reason, size_of([path]))
