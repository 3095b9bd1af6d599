"""What a stage folder says about its stage: what was asked, what was published, and what that cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from setpoint.artifacts.atomic import read_json
from setpoint.artifacts.fields import DamagedError, Fields, finite, shown
from setpoint.artifacts.names import is_file_path, is_identifier

SCHEMA = 1


class StageKind(StrEnum):
    """The kinds of stages, by the names of their folders."""

    SFT = "sft"
    """Supervised fine-tuning on the moves of an expert."""
    GRPO = "grpo"
    """Reinforcement learning from simulated rewards, from the base or from an SFT adapter."""
    EVALUATE = "evaluate"
    """A model on the test cases of a system."""
    REFERENCE = "reference"
    """Optimum, regulator and zero control on the same cases."""

    @property
    def trains(self) -> bool:
        """Whether such a stage publishes an adapter."""
        return self in TRAINING_KINDS


TRAINING_KINDS = (StageKind.SFT, StageKind.GRPO)
"""In the order in which a run has them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an attempt cost; None where it was not measured, and of a GPU where none was used."""

    wall_s: float | None = None
    cpu_s: float | None = None
    peak_rss_gb: float | None = None
    gpu_hours: float | None = None
    peak_gpu_gb: float | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Measured":
        """The figures in `content`; one that is no number from 0 up counts as not measured."""
        return cls(
            _amount(content.get("wall_s")),
            _amount(content.get("cpu_s")),
            _amount(content.get("peak_rss_gb")),
            _amount(content.get("gpu_hours")),
            _amount(content.get("peak_gpu_gb")),
        )

    def to_json(self) -> dict[str, float | None]:
        """The figures by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """Content and size of a file, as they were when it was published."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a stage published.

    Attributes:
        schema: of the version that wrote it.
        attempt: the number of the attempt that succeeded.
        finished_at: ISO time.
        files: path below the stage's folder -> content and size.
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
        """The content of manifest.json."""
        return asdict(self)

    def number(self, name: str) -> float:
        """A number of the summary.

        Raises:
            InputError: it has no such number.
        """
        return Fields(self.summary, f"{self.kind}/{self.stage}/manifest.json", "summary").number(name)


def read_manifest(path: Path | str) -> Manifest | None:
    """The manifest at `path`; None where there is none, or a damaged one, whose stage is computed again."""
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
    except ValueError:  # `DamagedError` is one, and so is what a time that is none raises
        return None


def _file(name: str, content: object, path: Path | str) -> PublishedFile:
    if not is_file_path(name):
        raise DamagedError(f"{str(path)!r} is damaged: it lists a file {shown(name)}.")
    fields = Fields(content, path, name)
    return PublishedFile(fields.text("sha256"), fields.whole("bytes"))


def read_measured(path: Path) -> Measured | None:
    """The costs in a `resources.json`; None where there is none that can be read."""
    content = read_json(path)
    return Measured.from_json(content) if isinstance(content, dict) else None


@dataclass(frozen=True, slots=True)
class StageConfig:
    """What a stage is asked to do.

    Attributes:
        config: resolved in full; what it holds is the kind's affair.
        needs: ids of the upstream stages.
    """

    kind: str
    config: Mapping[str, Any]
    needs: tuple[str, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The content of config.json."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "config": dict(self.config),
            "needs": list(self.needs),
            "seed": self.seed,
        }


def read_config(path: Path) -> StageConfig | None:
    """The config.json at `path`; None where there is none, or a damaged one."""
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
    number = finite(value)
    return number if number is not None and number >= 0.0 else None
