"""Workspace: one root folder with datasets, stages, experiments and links to models."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts.leftovers import remove_leftovers
from setpoint.artifacts.names import check_identifier
from setpoint.artifacts.places import require_no_links
from setpoint.artifacts.stage import StageFolder
from setpoint.errors import InputError, shown


@dataclass(frozen=True, slots=True)
class Workspace:
    """Root folder of all results. Creating an instance writes nothing to disk."""

    root: Path

    @property
    def datasets(self) -> Path:
        """Datasets: one folder per canonical name."""
        return self.root / "datasets"

    @property
    def stages(self) -> Path:
        """Stage results, by kind and id."""
        return self.root / "stages"

    @property
    def experiments(self) -> Path:
        """Plans, journals and reports: one folder per experiment."""
        return self.root / "experiments"

    @property
    def models(self) -> Path:
        """Links with readable names to the adapters of finished runs."""
        return self.root / "models"

    def stage(self, kind: str, stage_id: str) -> StageFolder:
        """Return the folder of one stage, which need not exist."""
        return StageFolder(
            self.root.joinpath(
                "stages", check_identifier("a stage kind", kind), check_identifier("a stage id", stage_id)
            )
        )

    def experiment(self, experiment_id: str) -> Path:
        """Return the folder of one experiment, which need not exist."""
        return self.experiments / check_identifier("an experiment id", experiment_id)

    def require_folder(self) -> None:
        """Check that the root is a folder or can be created. Writes nothing.

        Raises:
            InputError: the root or one of its parents exists but is not a folder.
        """
        existing = next((path for path in (self.root, *self.root.absolute().parents) if os.path.lexists(path)), None)
        if existing is not None and not existing.is_dir():
            raise InputError(
                f"the workspace must be a folder, but {shown(str(existing))} is not a folder. Set --workspace or "
                "SETPOINT_WORKSPACE to another one."
            )

    def require_writable(self) -> None:
        """Create the root, and check by writing that it and its existing subfolders are writable.

        Raises:
            InputError: a folder cannot be created or is not writable.
        """
        folder = self.root
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.datasets, self.stages, self.experiments, self.models):
                if folder.exists() and (folder == self.root or not folder.is_symlink()):  # a linked one is only read
                    with tempfile.TemporaryFile(dir=folder):
                        pass
        except OSError as error:
            raise InputError(
                f"the workspace must be a writable folder, but {shown(str(folder))} is not ({error.strerror}). Set "
                "--workspace or SETPOINT_WORKSPACE to another one."
            ) from error


def open_for_writing(experiment: Path) -> None:
    """Check that the folder of an experiment can be changed, and remove what killed processes left in it.

    Raises:
        InputError: the folder, its parent or something in it is a link.
    """
    require_no_links(experiment, experiment.absolute().parents[1])
    remove_leftovers(experiment, below=True)
