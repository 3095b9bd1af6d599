"""Data sets by name: found where they exist, made where the name says how."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.demonstrations import names
from setpoint.demonstrations.dataset import DatasetInfo, publish, read_info, verify_files
from setpoint.demonstrations.generate import Progress, generate
from setpoint.demonstrations.names import DatasetName
from setpoint.demonstrations.recipe import DEFAULT_ROWS, Expert, Recipe, canonical_systems, problem_definitions
from setpoint.errors import InputError
from setpoint.problems import COARSE_TO_FINE, MoveBlocking


def ensure(
    workspace: Workspace,
    name: str | None,
    systems: Sequence[str],
    *,
    expert: Expert = "optimal",
    total_samples: int | None = None,
    split_ratio: float = 0.9,
    blocks: MoveBlocking = COARSE_TO_FINE,
    progress: Progress | None = None,
) -> DatasetInfo:
    """The data set called `name` with the data of `systems`; made where it is missing and the name is a system's own.

    An existing one is taken as it is, unless `total_samples` asks for another size.

    Args:
        name: see `setpoint.demonstrations.names`; None for the systems' own data.
        systems: full or short names; the data set must hold them all.
        expert: for a system's own data; the detuned expert's have a folder of their own.
        total_samples: rows over all systems of the name; by default 2,000 each.
        split_ratio: training share of a new data set.
        blocks: the move blocking; other than the default has a folder of its own.
        progress: called with rows done and rows in all.

    Raises:
        InputError: the data set is missing and its name does not say how to make it, or it is another one.
    """
    wanted = canonical_systems(systems)
    parsed = _understand(name, wanted, expert)
    path = workspace.datasets / parsed.folder(blocks)
    if not path.is_dir():
        if not parsed.systems:
            raise InputError(
                f"there is no data set {parsed.text!r} in {str(workspace.datasets)!r}, and the name does not say what "
                f"it would hold. Make it with: {parsed.command(wanted)}"
            )
        recipe = Recipe(
            systems=parsed.systems,
            total_samples=total_samples or DEFAULT_ROWS * len(parsed.systems),
            split_ratio=split_ratio,
            blocking=blocks,
            expert=parsed.expert,
        )
        return create(workspace, parsed.text, recipe, progress=progress)
    info = read_info(path)
    verify_files(info)
    _require_systems(info.name, info.systems, wanted)
    asked = {"blocks": list(blocks.lengths), "problems": problem_definitions(info.systems)}
    _require(info, asked if total_samples is None else asked | {"total_samples": total_samples})
    return info


def create(
    workspace: Workspace,
    name: str | None,
    recipe: Recipe,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> DatasetInfo:
    """Make the data set of `recipe` under `name`, or find it made already, perhaps by another process meanwhile.

    Raises:
        InputError: the name is taken by the data of another recipe, or is that of other systems.
    """
    parsed = _understand(name, recipe.systems, recipe.expert)
    if parsed.systems and (set(parsed.systems), parsed.expert) != (set(recipe.systems), recipe.expert):
        raise InputError(
            f"the name {name!r} stands for the data of {', '.join(parsed.systems)} by the {parsed.expert} expert, but "
            f"those of {', '.join(recipe.systems)} by the {recipe.expert} expert were asked for. Choose another name."
        )
    workspace.require_writable()
    path = workspace.datasets / parsed.folder(recipe.blocking)
    if not path.is_dir():
        publish(path, recipe, generate(recipe, workers=workers, progress=progress))
    info = read_info(path)
    verify_files(info)
    _require(info, recipe.definition())
    return info


def _understand(name: str | None, systems: tuple[str, ...], expert: Expert) -> DatasetName:
    parsed = (names.joined(systems) if name is None else names.parse(name)).of_expert(expert)
    if parsed.systems:
        _require_systems(parsed.text, parsed.systems, systems)
    return parsed


def _require_systems(name: str, held: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    missing = [system for system in wanted if system not in held]
    if missing:
        raise InputError(
            f"data set {name!r} holds {', '.join(held)}, but not {', '.join(missing)}. One data set for several "
            f"systems must hold them all; name {'+'.join(wanted)!r}, or one data set for each system."
        )


def _require(info: DatasetInfo, settings: dict[str, Any]) -> None:
    """Refuse an existing data set that was made with other settings."""
    different = [found for key, value in settings.items() for found in _differences(key, info.recipe.get(key), value)]
    if different:
        raise InputError(
            f"data set {info.name!r} exists with other settings: {'; '.join(different)}. Choose another name with "
            f"--dataset-name, or remove the folder {str(info.path)!r}."
        )


def changed_problems(info: DatasetInfo) -> list[str]:
    """What of its problems is another than when the data set was made, in words."""
    return list(_differences("problems", info.recipe.get("problems"), problem_definitions(info.systems)))


def _differences(place: str, recorded: Any, wanted: Any) -> Iterator[str]:
    """`place is x, not y` for every innermost entry that differs."""
    if isinstance(recorded, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*recorded, *wanted]):
            yield from _differences(f"{place}.{key}", recorded.get(key), wanted.get(key))
    elif recorded != wanted:
        yield f"{place} is {_brief(recorded)}, not {_brief(wanted)}"


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
