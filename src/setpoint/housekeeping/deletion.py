"""Delete an experiment with the stages that only it refers to, or move it to the archive and back."""

from dataclasses import dataclass

from setpoint.artifacts import StageFolder, Workspace, check_identifier, require_no_links, require_real
from setpoint.errors import InputError, did_you_mean
from setpoint.experiments.running.lease import lease_holder
from setpoint.formatting import listed
from setpoint.housekeeping.cleaning import dangling_links, remove_whole, require_idle
from setpoint.housekeeping.references import ARCHIVE, Planned, planned_experiments
from setpoint.housekeeping.usage import size_of


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting an experiment removes.

    Attributes:
        kept: number of its stages that other experiments refer to, too.
    """

    experiment: Planned
    stages: tuple[StageFolder, ...]
    kept: int
    bytes: int


def deletion(workspace: Workspace, experiment_id: str, *, keep_stages: bool = False) -> Deletion:
    """Return what deleting the experiment would remove. Removes nothing.

    Args:
        keep_stages: delete the plan and the reports only.

    Raises:
        InputError: there is no such experiment, it is running, another one builds on it, a plan cannot be read, or
            something of it is a link.
    """
    experiments = planned_experiments(workspace)
    wanted = _named(experiments, experiment_id)
    _require_stopped(wanted)
    users = [each.folder.name for each in experiments if each is not wanted and experiment_id in each.builds_on]
    if users:
        raise InputError(
            f"{listed(users)} confirms or follows {experiment_id!r}. Delete it first, or archive this one."
        )
    require_no_links(wanted.folder, workspace.root)
    others = {stage for each in experiments if each is not wanted for stage in each.stages}
    own = sorted(wanted.stages - others)
    folders = [] if keep_stages else [workspace.stage(kind, name) for kind, name in own]
    require_idle(workspace, folders)
    stages = tuple(folder for folder in folders if folder.path.is_dir())
    size = size_of([wanted.folder, *(folder.path for folder in stages)])
    return Deletion(wanted, stages, len(wanted.stages) - len(folders), size)


def delete(workspace: Workspace, planned: Deletion) -> None:
    """Remove what `deletion` returned; the plan goes last, so that the same command finishes an interrupted deletion.

    Raises:
        InputError: something could not be removed.
    """
    folders = [*(stage.path for stage in planned.stages), planned.experiment.folder]
    left = [folder for folder in folders if not remove_whole(folder) and folder.exists()]
    for link in list(dangling_links(workspace)):
        link.unlink(missing_ok=True)
    if left:
        raise InputError(f"{str(left[0])!r} could not be removed. Check the permissions, then run the command again.")


def archive(workspace: Workspace, experiment_id: str) -> Planned:
    """Move the experiment from `experiments/` to `archive/`; its stages stay, and `clean` keeps them.

    Raises:
        InputError: there is no such experiment, it is running, or the archive has one of that name.
    """
    wanted = _named([each for each in planned_experiments(workspace) if not each.archived], experiment_id)
    _require_stopped(wanted)
    return _moved(workspace, wanted, archived=True)


def restore(workspace: Workspace, experiment_id: str) -> Planned:
    """Move the experiment back from `archive/`.

    Raises:
        InputError: it is not archived, or there is an experiment of that name.
    """
    wanted = _named([each for each in planned_experiments(workspace) if each.archived], experiment_id)
    return _moved(workspace, wanted, archived=False)


def _moved(workspace: Workspace, planned: Planned, *, archived: bool) -> Planned:
    target = (workspace.root / ARCHIVE if archived else workspace.experiments) / planned.folder.name
    for place in (planned.folder, target):
        require_real(place, workspace.root)
    if target.exists():
        raise InputError(f"{str(target)!r} exists already. Delete one of the two experiments first.")
    target.parent.mkdir(exist_ok=True)
    planned.folder.rename(target)
    return Planned(target, planned.plan)


def _named(experiments: list[Planned], experiment_id: str) -> Planned:
    check_identifier("an experiment id", experiment_id)
    found = [each for each in experiments if each.folder.name == experiment_id]
    if not found:
        known = [each.folder.name for each in experiments]
        nearest = did_you_mean(experiment_id, known)
        raise InputError(
            f"there is no experiment {experiment_id!r} to choose.{nearest} Known: {', '.join(known) or 'none'}."
        )
    return found[0]


def _require_stopped(planned: Planned) -> None:
    holder = lease_holder(planned.folder)
    if holder is not None:
        raise InputError(
            f"experiment {planned.folder.name!r} is being run by process {holder.pid} on {holder.host}. Stop it first."
        )
