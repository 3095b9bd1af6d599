"""The folder of one stage: its attempts, what it published, and the manifest that says it is finished.

config.json                 what the stage is asked to do
attempts/0001/              claim.json stdout.log stderr.log metrics.jsonl resources.json failure.json
                            resources_so_far.json, until it has ended
checkpoints/0001/           private to an attempt; the next one takes them over; gone when the stage is finished
<published outputs>         adapter/, episodes.parquet, …
manifest.json               last; the stage is finished when it is there and its files have their recorded sizes
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from setpoint.artifacts.atomic import create_json, sync_file, sync_folder
from setpoint.artifacts.locks import Lock, read_lock
from setpoint.artifacts.manifest import (
    SCHEMA,
    Manifest,
    Measured,
    PublishedFile,
    StageConfig,
    read_config,
    read_manifest,
)
from setpoint.artifacts.names import is_file_path
from setpoint.errors import SetpointError
from setpoint.fingerprint import file_digest


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a stage, in a folder of its own."""

    path: Path

    @property
    def number(self) -> int:
        """1 for the first attempt."""
        return int(self.path.name)

    @property
    def lock(self) -> Path:
        """Who makes this attempt."""
        return self.path / "claim.json"

    @property
    def stdout(self) -> Path:
        """What the worker and everything below it printed."""
        return self.path / "stdout.log"

    @property
    def stderr(self) -> Path:
        """What the worker and everything below it reported."""
        return self.path / "stderr.log"

    @property
    def metrics(self) -> Path:
        """The training curve: one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def resources(self) -> Path:
        """Time and memory; written when the attempt ends."""
        return self.path / "resources.json"

    @property
    def resources_so_far(self) -> Path:
        """The same of an attempt that has not ended, or whose process was killed."""
        return self.path / "resources_so_far.json"

    @property
    def failure(self) -> Path:
        """Why the attempt failed; only there if it did."""
        return self.path / "failure.json"

    @property
    def output(self) -> Path:
        """What is written here is published when the attempt succeeds."""
        return self.path / "output"

    def running(self) -> bool:
        """Whether somebody may still be at it."""
        if self.failure.exists() or self.resources.exists():
            return False
        lock = read_lock(self.lock)
        return lock is not None and lock.alive()


@dataclass(frozen=True, slots=True)
class StageFolder:
    """One stage on disk. Making one touches nothing."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, the upstream stages and the seed."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """The list of published files with the stage's summary; written last."""
        return self.path / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        """The parent of the trainer's private state, which each attempt has in a folder of its own."""
        return self.path / "checkpoints"

    @property
    def attempts_folder(self) -> Path:
        """The parent of all attempts."""
        return self.path / "attempts"

    def attempts(self) -> list[Attempt]:
        """Every claimed attempt, oldest first."""
        locks = sorted(self.attempts_folder.glob("*/claim.json"))
        return [Attempt(path.parent) for path in locks if path.parent.name.isdecimal()]

    def latest_attempt(self) -> Attempt | None:
        """The attempt that counts, or None before the first."""
        return next(reversed(self.attempts()), None)

    def read_manifest(self) -> Manifest | None:
        """The manifest, or None where there is none that can be read."""
        return read_manifest(self.manifest)

    def read_config(self) -> StageConfig | None:
        """What the stage is asked to do, or None where that cannot be read."""
        return read_config(self.config)

    def finished(self) -> bool:
        """Whether the manifest is there and every file it lists has its recorded size."""
        manifest = self.read_manifest()
        return manifest is not None and all(
            _size(self.path / name) == file.bytes for name, file in manifest.files.items()
        )

    def verified(self) -> bool:
        """Whether the stage is finished and the content of every file is what was published; reads all of it."""
        return self.finished() and not self.damaged_files()

    def damaged_files(self) -> list[str]:
        """The published files that are gone or not what was published; reads all of them."""
        manifest = self.read_manifest()
        return [
            name
            for name, file in (manifest.files if manifest else {}).items()
            if not (self.path / name).is_file() or file_digest(self.path / name) != file.sha256
        ]

    def claim_attempt(self, config: StageConfig) -> Attempt | None:
        """Start the next attempt, or None where the stage is finished or somebody is at it.

        Args:
            config: what goes to `config.json` when this is the first attempt.
        """
        latest = self.latest_attempt()
        if self.verified() or (latest is not None and latest.running()):
            return None
        attempt = Attempt(self.attempts_folder / f"{1 if latest is None else latest.number + 1:04d}")
        if not Lock.of_this_process().create(attempt.lock):
            return None
        create_json(self.config, config.to_json())
        if self.manifest.exists():  # it lists files that are gone or damaged; nobody else may touch it now
            self.manifest.rename(attempt.path / "damaged_manifest.json")
        return attempt

    def take_checkpoints(self, attempt: Attempt) -> Path:
        """The attempt's folder for its state, with what the last attempt that saved any had in its own.

        It is taken away from that attempt, which may still run on a node that was given up: the two would otherwise
        write to the same files, and delete each other's.
        """
        own = self.checkpoints / attempt.path.name
        self.checkpoints.mkdir(exist_ok=True)
        saved = [each.parent for each in self.checkpoints.glob("*/*") if each.parent.name < own.name]
        if saved:
            max(saved).rename(own)
        own.mkdir(exist_ok=True)
        return own

    def publish(
        self,
        attempt: Attempt,
        *,
        summary: Mapping[str, Any],
        measured: Measured,
        provenance: Mapping[str, Any],
    ) -> None:
        """Move the attempt's output into place, write the manifest last, and drop what only attempts needed.

        That is the checkpoints, and the unfinished output of attempts that ended otherwise; their logs stay.

        Raises:
            SetpointError: a newer attempt has taken over, or the manifest is there already: this result is not wanted;
                or a file has a name that no manifest may list.
        """
        if self.latest_attempt() != attempt:
            raise SetpointError(f"attempt {attempt.number} of {self.path} was taken over by a newer one")
        paths = {path.relative_to(attempt.output).as_posix(): path for path in sorted(_files_below(attempt.output))}
        if odd := [name for name in paths if not is_file_path(name)]:
            raise SetpointError(f"files are named with letters, digits, '.', '_' and '-', but not {odd[0]!r}")
        files = {name: _published(path) for name, path in paths.items()}
        for entry in sorted(attempt.output.iterdir()):
            _replace(entry, self.path / entry.name)
        attempt.output.rmdir()
        sync_folder(self.path)
        manifest = Manifest(
            schema=SCHEMA,
            stage=self.path.name,
            kind=self.path.parent.name,
            attempt=attempt.number,
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            files=files,
            summary=dict(summary),
            measured=measured,
            provenance=dict(provenance),
        )
        if not create_json(self.manifest, manifest.to_json()):
            raise SetpointError(f"{self.manifest} is there already")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for earlier in self.attempts():
            shutil.rmtree(earlier.output, ignore_errors=True)


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _published(path: Path) -> PublishedFile:
    sync_file(path)
    return PublishedFile(file_digest(path), path.stat().st_size)


def _replace(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which an unfinished publication may have left behind."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    source.replace(target)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
