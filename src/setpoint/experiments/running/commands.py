"""Commands that messages name: as they must be typed here, for this workspace and where the experiment last ran."""

import shlex
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.records.journal import EventKind, Started, read_events


def command(workspace: Workspace, experiment_id: str, *words: str) -> str:
    """Return a command on an experiment, such as `setpoint report ID`, with the workspace if it is not this folder."""
    place = [] if workspace.root == Path() else ["--workspace", str(workspace.root)]
    return shlex.join(["setpoint", *words, experiment_id, *place])


def resume_command(workspace: Workspace, experiment_id: str, action: str = "resume") -> str:
    """Return the command that resumes an experiment; with action `retry` it also retries failed runs."""
    on_slurm = " --on slurm" if last_on_slurm(workspace.experiment(experiment_id)) else ""
    return command(workspace, experiment_id, "experiment", action) + on_slurm


def last_on_slurm(experiment: Path) -> bool:
    """Return whether the experiment last ran on a cluster, under a coordinator or from submitted scripts."""
    started = [event for event in read_events(experiment, EventKind.STARTED) if isinstance(event, Started)]
    submitted_s = max((path.stat().st_mtime for path in experiment.glob("slurm/scripts*/*.jobs")), default=0.0)
    if not started or submitted_s > started[-1].at.timestamp():
        return submitted_s > 0.0
    return started[-1].on == "slurm"
