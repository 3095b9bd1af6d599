"""Records of a stage folder: requested configuration, published files, and measured cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from setpoint.artifacts.atomic import read_json
from setpoint.artifacts.fields import LARGEST, DamagedError, Fields, shown
from setpoint.artifacts.names import is_file_path, is_identifier

SCHEMA = 1


class StageKind(StrEnum):
    """Kinds of stages; the values are folder names."""

    SFT = "sft"
    """Supervised fine-tuning on expert demonstrations."""
    DAGGER = "dagger"
    """Supervised fine-tuning on states that the model itself visits in closed loop, relabelled by the expert."""
    GRPO = "grpo"
    """Reinforcement learning from simulated rewards, starting from the base model or another adapter."""
    EVALUATE = "evaluate"
    """Evaluation of a model on the test cases of a system."""
    REFERENCE = "reference"
    """Optimal control, LQR and zero control on the same test cases."""

    @property
    def trains(self) -> bool:
        """Whether a stage of this kind publishes an adapter."""
        return self in TRAINING_KINDS


TRAINING_KINDS = (StageKind.SFT, StageKind.DAGGER, StageKind.GRPO)
"""Kinds of training stages, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured cost of an attempt; None if not measured, and for GPU values if no GPU was used."""

    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_gb: float | None = None
    gpu_hours: float | None = None
    peak_gpu_gb: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Measured":
        """Read the values in `content`; anything but a non-negative number counts as not measured."""
        return cls(
            _amount(content.get("wall_s")),
            _amount(content.get("cpu_s")),
            _amount(content.get("peak_rss_gb")),
            _amount(content.get("gpu_hours")),
            _amount(content.get("peak_gpu_gb")),
        )

    def to_json(self) -> dict[str, float | None]:
        """Return the values by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """Checksum and size of a file at publication."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of a finished stage.

    Attributes:
        schema: schema version of the file.
        attempt: number of the attempt that succeeded.
        finished_at: ISO time.
        files: path relative to the stage folder -> checksum and size.
        summary: deterministic numbers about the result.
    """

    schema: int
    stage: str
    kind: str
    attempt: int
    finished_at: str
    files: Mapping[str, PublishedFile]
    summary: Mapping[str, Any]
    measured: Measured
    provenance: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the content of manifest.json."""
        return asdict(self)

    def number(self, name: str) -> float:
        """Return a number of the summary.

        Raises:
            InputError: the summary has no such number.
        """
        return Fields(self.summary, f"{self.kind}/{self.stage}/manifest.json", "summary").number(name)


def read_manifest(path: Path | str) -> Manifest | None:
    """Read the manifest at `path`; None if missing or damaged, so that the stage is computed again."""
    content = read_json(path)
    if content is None:
        return None
    try:
        fields = Fields(content, path)
        datetime.fromisoformat(fields.text("finished_at"))
        return Manifest(
            schema=fields.whole("schema"),
            stage=fields.text("stage"),
            kind=fields.text("kind"),
            attempt=fields.whole("attempt", least=1),
            finished_at=fields.text("finished_at"),
            files={name: _file(name, file, path) for name, file in fields.table("files").items()},
            summary=fields.table("summary"),
            measured=Measured.from_json(fields.table("measured")),
            provenance=fields.table("provenance"),
        )
    except ValueError:  # includes `DamagedError`, and the error for an invalid time
        return None


def _file(name: str, content: object, path: Path | str) -> PublishedFile:
    if not is_file_path(name):
        raise DamagedError(f"{str(path)!r} is damaged: it lists a file with the invalid name {shown(name)}.")
    fields = Fields(content, path, name)
    return PublishedFile(fields.text("sha256"), fields.whole("bytes"))


def read_measured(path: Path) -> Measured | None:
    """Read the costs in a `resources.json`; None if missing or damaged."""
    content = read_json(path)
    return Measured.from_json(content) if isinstance(content, dict) else None


@dataclass(frozen=True, slots=True)
class StageConfig:
    """Requested configuration of a stage.

    Attributes:
        config: fully resolved configuration; its fields depend on the kind.
        needs: ids of the upstream stages.
    """

    kind: str
    config: Mapping[str, Any]
    needs: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the content of config.json."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "config": dict(self.config),
            "needs": list(self.needs),
            "seed": self.seed,
        }


def read_config(path: Path) -> StageConfig | None:
    """Read the config.json at `path`; None if missing or damaged."""
    content = read_json(path)
    if content is None:
        return None
    try:
        fields = Fields(content, path)
        found = StageConfig(fields.text("kind"), fields.table("config"), fields.texts("needs"), fields.whole("seed"))
    except DamagedError:
        return None
    return found if all(map(is_identifier, (found.kind, *found.needs))) else None


def _amount(value: object) -> float | None:
    if (type(value) is float or type(value) is int) and 0.0 <= value < LARGEST:
        return float(value)
    return None
