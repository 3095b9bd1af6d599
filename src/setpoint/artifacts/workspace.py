"""Where everything lies: one root with data sets, stages, experiments and links to models."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts.names import check_identifier
from setpoint.artifacts.stage import StageFolder
from setpoint.errors import InputError


@dataclass(frozen=True, slots=True)
class Workspace:
    """The root folder of all results. Making one touches nothing on disk."""

    root: Path

    @property
    def datasets(self) -> Path:
        """Data sets, one folder each, by canonical name."""
        return self.root / "datasets"

    @property
    def stages(self) -> Path:
        """Results of stages, by kind and id."""
        return self.root / "stages"

    @property
    def experiments(self) -> Path:
        """Plans, journals and reports, one folder for each experiment."""
        return self.root / "experiments"

    @property
    def models(self) -> Path:
        """Links to the adapters of finished runs, by readable names."""
        return self.root / "models"

    def stage(self, kind: str, stage_id: str) -> StageFolder:
        """The folder of one stage, which need not exist."""
        return StageFolder(
            self.root.joinpath(
                "stages", check_identifier("a stage kind", kind), check_identifier("a stage id", stage_id)
            )
        )

    def experiment(self, experiment_id: str) -> Path:
        """The folder of one experiment, which need not exist."""
        return self.experiments / check_identifier("an experiment id", experiment_id)

    def require_folder(self) -> None:
        """Refuse a root that is no folder and cannot become one; touches nothing.

        Raises:
            InputError: the root, or what should be a folder above it, is something else.
        """
        there = next((path for path in (self.root, *self.root.absolute().parents) if os.path.lexists(path)), None)
        if there is not None and not there.is_dir():
            raise InputError(
                f"the workspace must be a folder, but {str(there)!r} is none. Name another with --workspace or "
                "SETPOINT_WORKSPACE."
            )

    def require_writable(self) -> None:
        """Create the root, and write once to it and to those of its folders that are there.

        Raises:
            InputError: a folder cannot be created or written to.
        """
        folder = self.root
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.root, self.datasets, self.stages, self.experiments, self.models):
                if folder.exists():
                    with tempfile.TemporaryFile(dir=folder):
                        pass
        except OSError as error:
            raise InputError(
                f"the workspace must be a folder that can be written to, but {str(folder)!r} is not "
                f"({error.strerror}). Name another with --workspace or SETPOINT_WORKSPACE."
            ) from error
