"""Disk usage of a workspace by experiment. Links are not followed."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.housekeeping.references import planned_experiments, stored_stages


@dataclass(frozen=True, slots=True)
class ExperimentUsage:
    """Bytes of one experiment: what deleting it would free, and what it shares with others."""

    experiment: str
    archived: bool
    own: int
    shared: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of a workspace.

    Attributes:
        unreferenced: stages that no plan refers to.
        other: everything else in the workspace, such as figures that a user saved there.
    """

    experiments: tuple[ExperimentUsage, ...]
    datasets: int
    stages: int
    unreferenced: int
    other: int
    total: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def disk_usage(workspace: Workspace) -> Usage:
    """Return the disk usage of a workspace.

    Raises:
        InputError: a plan cannot be read.
    """
    experiments = planned_experiments(workspace)
    sizes = {stage: size_of([folder.path]) for stage, folder in stored_stages(workspace)}
    users = Counter(stage for each in experiments for stage in each.stages)
    rows = []
    for each in experiments:
        files = size_of([each.folder])
        own = sum(sizes.get(stage, 0) for stage in each.stages if users[stage] == 1)
        shared = sum(sizes.get(stage, 0) for stage in each.stages if users[stage] > 1)
        rows.append(ExperimentUsage(each.folder.name, each.archived, files + own, shared))
    total, datasets, stages = size_of([workspace.root]), size_of([workspace.datasets]), size_of([workspace.stages])
    return Usage(
        experiments=tuple(sorted(rows, key=lambda row: (-row.own - row.shared, row.experiment))),
        datasets=datasets,
        stages=stages,
        unreferenced=sum(size for stage, size in sizes.items() if stage not in users),
        other=total - datasets - stages - sum(size_of([each.folder]) for each in experiments),
        total=total,
    )


def size_of(places: Iterable[Path]) -> int:
    """Return the bytes of the regular files below the given folders, or of the files themselves."""
    return sum(_size(place) for place in places)


def _size(place: Path) -> int:
    try:
        status = place.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size if stat.S_ISREG(status.st_mode) else 0
        with os.scandir(place) as entries:
            names = [entry.name for entry in entries]
    except OSError:  # it has just been removed, or belongs to somebody else
        return 0
    return sum(_size(place / name) for name in names)
