"""Existing adapters that an experiment can train further."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts import TRAINING_KINDS, DamagedError, Fields, StageFolder, StageKind, Workspace
from setpoint.errors import InputError, shown
from setpoint.fingerprint import digest
from setpoint.policies import BaseModel
from setpoint.records.plan import Plan, PlannedStage
from setpoint.records.training_config import TrainingConfig


@dataclass(frozen=True)
class Adapter:
    """The adapter of a finished training stage from another experiment, with its upstream training stages.

    Attributes:
        chain: stage id -> stage, upstream first; the last stage published the adapter.
    """

    chain: Mapping[str, PlannedStage]

    @property
    def id(self) -> str:
        """Id of the stage that published the adapter."""
        return list(self.chain)[-1]

    @property
    def stage(self) -> PlannedStage:
        """Stage that published the adapter."""
        return self.chain[self.id]

    @property
    def config(self) -> TrainingConfig:
        """What the adapter was made with."""
        return TrainingConfig.of(self.stage)

    @property
    def place(self) -> str:
        """Name of the adapter in a specification: `kind/id`."""
        return f"{self.stage.kind}/{self.id}"

    @property
    def seed(self) -> int:
        """Seed of the last stage."""
        return self.stage.seed

    @property
    def label(self) -> str:
        """Label shared by adapters that differ only in their seeds."""
        content = [[stage.kind, _content(stage)] for stage in self.chain.values()]
        return f"{self.stage.kind}_r{self.config.rank}-{digest(content, 6)}"


def finished_adapters(workspace: Workspace, system: str, base: BaseModel) -> list[Adapter]:
    """Return all finished adapters trained on `base` for `system` alone, ordered by kind and id."""
    folders = [path for kind in TRAINING_KINDS for path in sorted((workspace.stages / kind).glob("*"))]
    found = (_read(workspace, StageFolder(path)) for path in folders)
    return [adapter for adapter in found if adapter and _fits(adapter, base) and adapter.config.systems == (system,)]


def named_adapter(workspace: Workspace, place: str, base: BaseModel) -> Adapter:
    """Return the adapter named `place`, which is `kind/id`.

    Raises:
        InputError: it does not exist, is not finished, or belongs to another base model.
    """
    kind, _, name = place.partition("/")
    adapter = _read(workspace, workspace.stage(kind, name)) if kind in TRAINING_KINDS and name else None
    if adapter is None:
        raise InputError(
            f"no finished adapter {shown(place)} in {str(workspace.stages)!r}. Choose one from `setpoint models list "
            "--detailed`."
        )
    if not _fits(adapter, base):
        raise InputError(
            f"adapter {place!r} was not trained on base model {base.name!r}. Set --base-model to the adapter's base, "
            "or choose another adapter."
        )
    return adapter


def canonical_place(workspace: Workspace, text: str) -> str:
    """Return `kind/id` of an adapter given as such, as the path of its folder, or as a link to it."""
    path = Path(text)
    for folder in (path, path.parent if path.name == "adapter" else path):
        if folder.is_dir():
            stage = folder.resolve()
            stage = stage.parent if stage.name == "adapter" else stage
            return f"{stage.parent.name}/{stage.name}"
    return text


def planned_adapters(plan: Plan, places: Sequence[str]) -> list[Adapter]:
    """Return the existing adapters that a plan uses, from the plan itself."""
    found = []
    for place in places:
        name = place.partition("/")[2]
        needed = plan.upstream(name)
        found.append(Adapter({key: stage for key, stage in plan.stages.items() if key in needed or key == name}))
    return found


def _read(workspace: Workspace, folder: StageFolder) -> Adapter | None:
    """Return the adapter of a finished training stage; None for other stages and for damaged configurations."""
    try:
        chain = dict(reversed(list(_chain(workspace, folder)))) if folder.finished() else {}
    except DamagedError:
        return None
    return Adapter(chain) if chain else None


def _chain(workspace: Workspace, folder: StageFolder) -> Iterator[tuple[str, PlannedStage]]:
    """Yield the stage and its upstream training stages, as far as they still exist.

    Raises:
        DamagedError: a configuration is not that of a training stage, or the stages form a cycle.
    """
    open_folder: StageFolder | None = folder
    seen: set[Path] = set()
    while open_folder is not None:
        recorded = open_folder.read_config()
        if recorded is None or recorded.kind not in TRAINING_KINDS:
            return
        if open_folder.path in seen:
            raise DamagedError(f"{str(open_folder.config)!r} is damaged: the stage needs itself.")
        seen.add(open_folder.path)
        kind, config = StageKind(recorded.kind), dict(recorded.config)
        TrainingConfig.read(Fields(config, open_folder.config, "config"), kind)
        parents = [workspace.stage(kind, name) for name in recorded.needs for kind in TRAINING_KINDS]
        parent = next((found for found in parents if found.finished()), None)
        needs = {} if parent is None else {"parent": parent.path.name}
        yield open_folder.path.name, PlannedStage(kind=kind, config=config, needs=needs, seed=recorded.seed)
        open_folder = parent


def _fits(adapter: Adapter, base: BaseModel) -> bool:
    return adapter.config.base.digest == base.digest


def _content(stage: PlannedStage) -> dict[str, Any]:
    """Return a configuration with inputs identified by digest instead of name."""
    config = TrainingConfig.of(stage)
    return {**stage.config, "base": config.base.digest, "datasets": [data.digest for data in config.datasets]}
