"""Which files of a workspace an experiment consists of, and where they lie in its capsule."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.artifacts.names import is_file_path
from setpoint.records.plan import Plan

CHECKSUMS = "manifest-sha256.txt"
"""Digest of every other file of the capsule, in the format of `sha256sum`."""
METADATA = "ro-crate-metadata.json"
VERSIONS = "environment/requirements.txt"
OWN = (CHECKSUMS, METADATA, VERSIONS)
"""Files that only a capsule has; the others lie where they lie in a workspace."""
_LEFT_OUT = ("checkpoints", "leases", "state.json")
_FOLDERS = ("datasets", "experiments", "stages")


def files_of(workspace: Workspace, plan: Plan) -> Iterator[tuple[str, Path]]:
    """Yield name in the capsule and path of every file of the experiment; links are left out."""
    experiment = workspace.experiment(plan.experiment)
    datasets = sorted({data.name for data in plan.datasets.values()})
    folders = [
        experiment,
        *(workspace.datasets / name for name in datasets),
        *(workspace.stage(stage.kind, name).path for name, stage in plan.stages.items()),
    ]
    for folder in folders:
        for path in _files_below(folder):
            yield path.relative_to(workspace.root).as_posix(), path


def _files_below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and name != "output")
        for name in sorted(files):
            path = Path(place, name)
            if name not in _LEFT_OUT and not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                yield path


def is_member(name: str) -> bool:
    """Return whether a capsule may hold a file of this name: one of its own, or one of a workspace."""
    return name in OWN or (is_file_path(name) and name.partition("/")[0] in _FOLDERS)


def checksum_lines(digests: dict[str, str]) -> str:
    """Return the content of the list of checksums."""
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def parse_checksums(text: str) -> dict[str, str]:
    """Return name -> digest of a list of checksums; lines of another form are ignored."""
    pairs = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, separator, name in pairs if separator}
