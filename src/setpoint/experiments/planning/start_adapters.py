"""Finished adapters that another experiment can train further."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts import TRAINING_KINDS, StageFolder, StageKind, Workspace
from setpoint.errors import InputError, shown
from setpoint.fingerprint import digest
from setpoint.policies import BaseModel
from setpoint.records.plan import Plan, PlannedStage


@dataclass(frozen=True)
class Adapter:
    """A training stage from outside an experiment, with the finished stages that it came from.

    Attributes:
        chain: stage id -> stage; the adapter's own is the last.
    """

    chain: Mapping[str, PlannedStage]

    @property
    def id(self) -> str:
        """The stage that published it."""
        return list(self.chain)[-1]

    @property
    def stage(self) -> PlannedStage:
        """What that stage was asked to do."""
        return self.chain[self.id]

    @property
    def place(self) -> str:
        """`kind/id`, which names it in a specification."""
        return f"{self.stage.kind}/{self.id}"

    @property
    def seed(self) -> int:
        """Of its last stage."""
        return self.stage.seed

    @property
    def label(self) -> str:
        """Equal for adapters that differ in their seeds alone."""
        content = [[stage.kind, _content(stage.config)] for stage in self.chain.values()]
        return f"{self.stage.kind}_r{self.stage.config['lora']['rank']}-{digest(content, 6)}"


def finished_adapters(workspace: Workspace, system: str, base: BaseModel) -> list[Adapter]:
    """Every finished adapter of `system` alone on `base`, by kind and id."""
    folders = [path for kind in TRAINING_KINDS for path in sorted((workspace.stages / kind).glob("*"))]
    found = (_read(workspace, StageFolder(path)) for path in folders)
    return [
        adapter for adapter in found if adapter and _fits(adapter, base) and adapter.stage.config["systems"] == [system]
    ]


def named_adapter(workspace: Workspace, place: str, base: BaseModel) -> Adapter:
    """The adapter at `place`, which is `kind/id`.

    Raises:
        InputError: there is none, it is not finished, or belongs to another base.
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
            f"adapter {place!r} was trained on another base than {base.name!r}. Set --base-model to that base, or "
            "choose another adapter."
        )
    return adapter


def canonical_place(workspace: Workspace, text: str) -> str:
    """`kind/id` of an adapter that is named so, or by the path of its folder or of a link to it."""
    path = Path(text)
    for folder in (path, path.parent if path.name == "adapter" else path):
        if folder.is_dir():
            stage = folder.resolve()
            stage = stage.parent if stage.name == "adapter" else stage
            return f"{stage.parent.name}/{stage.name}"
    return text


def planned_adapters(plan: Plan, places: Sequence[str]) -> list[Adapter]:
    """The adapters that a plan was made with, from the plan itself."""
    found = []
    for place in places:
        name = place.partition("/")[2]
        needed = plan.upstream(name)
        found.append(Adapter({key: stage for key, stage in plan.stages.items() if key in needed or key == name}))
    return found


def _read(workspace: Workspace, folder: StageFolder) -> Adapter | None:
    if not folder.finished():
        return None
    chain = dict(reversed(list(_chain(workspace, folder))))
    return Adapter(chain) if chain else None


def _chain(workspace: Workspace, folder: StageFolder) -> Iterator[tuple[str, PlannedStage]]:
    """The stage and its upstream stages, as far as they still exist."""
    asked = folder.read_config()
    if asked is None or asked.kind not in TRAINING_KINDS:
        return
    parents = [workspace.stage(kind, name) for name in asked.needs for kind in TRAINING_KINDS]
    parent = next((found for found in parents if found.finished()), None)
    needs = {} if parent is None else {"parent": parent.path.name}
    stage = PlannedStage(kind=StageKind(asked.kind), config=dict(asked.config), needs=needs, seed=asked.seed)
    yield folder.path.name, stage
    if parent is not None:
        yield from _chain(workspace, parent)


def _fits(adapter: Adapter, base: BaseModel) -> bool:
    config = adapter.stage.config
    return bool(config["base"]["digest"] == base.digest and config["dialect"] == base.preset.prompt_format.definition())


def _content(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the names of its inputs, whose digests say what they are."""
    return {
        **config,
        "base": config["base"]["digest"],
        "datasets": [data["digest"] for data in config["datasets"]],
    }
