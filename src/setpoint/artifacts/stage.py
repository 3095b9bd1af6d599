"""Folder of one stage: its attempts, its published files, and the manifest that marks it as finished.

config.json                 requested configuration
attempts/0001/              claim.json stdout.log stderr.log metrics.jsonl resources.json failure.json
                            resources_so_far.json, while it is running
checkpoints/0001/           private to an attempt; moved to the next attempt; deleted when the stage is finished
<published outputs>         adapter/, episodes.parquet, …
manifest.json               written last; the stage is finished if it exists and all files have their recorded sizes
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from setpoint.artifacts.atomic import create_json, sync_file, sync_folder
from setpoint.artifacts.leftovers import remove_leftovers
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
from setpoint.artifacts.places import links_below, remove, require_real
from setpoint.errors import SetpointError
from setpoint.fingerprint import file_digest


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a stage, in its own folder."""

    path: Path

    @property
    def number(self) -> int:
        """Number of the attempt, starting at 1."""
        return int(self.path.name)

    @property
    def lock(self) -> Path:
        """Ownership lock of the process that makes this attempt."""
        return self.path / "claim.json"

    @property
    def stdout(self) -> Path:
        """Standard output of the worker and its child processes."""
        return self.path / "stdout.log"

    @property
    def stderr(self) -> Path:
        """Standard error of the worker and its child processes."""
        return self.path / "stderr.log"

    @property
    def metrics(self) -> Path:
        """Training curve, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def resources(self) -> Path:
        """Time and memory; written when the attempt ends."""
        return self.path / "resources.json"

    @property
    def resources_so_far(self) -> Path:
        """Time and memory so far, of a running attempt or one whose process was killed."""
        return self.path / "resources_so_far.json"

    @property
    def failure(self) -> Path:
        """Failure record; exists only if the attempt failed."""
        return self.path / "failure.json"

    @property
    def output(self) -> Path:
        """Output folder; its content is published when the attempt succeeds."""
        return self.path / "output"

    def running(self) -> bool:
        """Return whether a process may still be working on it."""
        if self.failure.exists() or self.resources.exists():
            return False
        lock = read_lock(self.lock)
        return lock is not None and lock.alive()


@dataclass(frozen=True, slots=True)
class StageFolder:
    """One stage on disk. Creating an instance writes nothing."""

    path: Path

    @property
    def config(self) -> Path:
        """File with the resolved configuration, the upstream stages and the seed."""
        return self.path / "config.json"

    @property
    def manifest(self) -> Path:
        """File that lists the published files, with the stage's summary; written last."""
        return self.path / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of training checkpoints, with one subfolder per attempt."""
        return self.path / "checkpoints"

    @property
    def attempts_folder(self) -> Path:
        """Folder of all attempts."""
        return self.path / "attempts"

    def attempts(self) -> list[Attempt]:
        """Return all claimed attempts, oldest first."""
        try:
            with os.scandir(self.attempts_folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = [Attempt(self.attempts_folder / name) for name in sorted(names) if name.isdecimal()]
        return [attempt for attempt in found if attempt.lock.exists()]

    def latest_attempt(self) -> Attempt | None:
        """Return the newest attempt, which is the valid one; None before the first."""
        return next(reversed(self.attempts()), None)

    def read_manifest(self) -> Manifest | None:
        """Return the manifest; None if missing or damaged."""
        return read_manifest(self.manifest)

    def read_config(self) -> StageConfig | None:
        """Return the requested configuration; None if missing or damaged."""
        return read_config(self.config)

    def finished(self) -> bool:
        """Return whether the manifest exists and every listed file has its recorded size. Links are no files."""
        manifest = self.read_manifest()
        return manifest is not None and all(self._size(name) == file.bytes for name, file in manifest.files.items())

    def verified(self) -> bool:
        """Return whether the stage is finished and all checksums match; reads every file."""
        return self.finished() and not self.damaged_files()

    def damaged_files(self) -> list[str]:
        """Return the published files that are missing or fail their checksum; reads every file."""
        manifest = self.read_manifest()
        return [
            name
            for name, file in (manifest.files if manifest else {}).items()
            if self._size(name) is None or file_digest(self.path / name) != file.sha256
        ]

    def _size(self, name: str) -> int | None:
        """Return the size of a published file; None if it is missing, or reached through a link."""
        path = str(self.path)
        try:
            for part in name.split("/"):
                path = f"{path}/{part}"
                status = os.lstat(path)
                if stat.S_ISLNK(status.st_mode):
                    return None
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def claim_attempt(self, config: StageConfig) -> Attempt | None:
        """Start the next attempt; None if the stage is finished or another process is computing it.

        Args:
            config: content of `config.json`, written by the first attempt.

        Raises:
            InputError: a folder of the stage is a link.
        """
        latest = self.latest_attempt()
        if self.verified() or (latest is not None and latest.running()):
            return None
        attempt = Attempt(self.attempts_folder / f"{1 if latest is None else latest.number + 1:04d}")
        for folder in (attempt.path, self.checkpoints):
            require_real(folder, self.path.parents[2])
        if not Lock.of_this_process().create(attempt.lock):
            return None
        remove_leftovers(self.path, below=True)
        for entry in attempt.path.iterdir():
            if entry != attempt.lock:  # only a copied workspace can have something here
                remove(entry)
        create_json(self.config, config.to_json())
        if os.path.lexists(self.manifest):  # some listed files are missing or damaged; the claim gives exclusive access
            self.manifest.rename(attempt.path / "damaged_manifest.json")
        return attempt

    def take_checkpoints(self, attempt: Attempt) -> Path:
        """Return the attempt's checkpoint folder, with the checkpoints of the last attempt that saved any.

        They are moved, not copied: the earlier attempt may still run on an unreachable node, and the two must not
        write to the same files or delete each other's. Links are not followed but removed.
        """
        own = self.checkpoints / attempt.path.name
        self.checkpoints.mkdir(exist_ok=True)
        for link in list(links_below(self.checkpoints)):
            link.unlink()
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
        """Move the attempt's output into place, write the manifest last, and clean up.

        Checkpoints and the unfinished output of other attempts are deleted; logs are kept.

        Raises:
            SetpointError: a newer attempt has taken over or published first, so this result is discarded; or a file
                name is invalid.
        """
        if self.latest_attempt() != attempt:
            raise SetpointError(f"attempt {attempt.number} of {self.path} was superseded by a newer one")
        paths = {path.relative_to(attempt.output).as_posix(): path for path in sorted(_files_below(attempt.output))}
        if invalid := [name for name in paths if not is_file_path(name)]:
            raise SetpointError(f"file names must be letters, digits, '.', '_' and '-', got {invalid[0]!r}")
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
            raise SetpointError(f"{self.manifest} already exists")
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for earlier in self.attempts():
            shutil.rmtree(earlier.output, ignore_errors=True)


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _published(path: Path) -> PublishedFile:
    sync_file(path)
    return PublishedFile(file_digest(path), path.stat().st_size)


def _replace(source: Path, target: Path) -> None:
    """Rename `source` to `target`, replacing what an unfinished publication may have left there."""
    remove(target)
    source.replace(target)
