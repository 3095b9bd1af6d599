"""Find datasets by name, or generate them if the name defines their content."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from setpoint.artifacts import Workspace, remove_leftovers, require_real
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
    """Return the dataset `name` with data of `systems`; generate it if missing and if its name is derived from systems.

    An existing dataset is reused, unless `total_samples` differs from its size.

    Args:
        name: see `setpoint.demonstrations.names`; None for the default name of `systems`.
        systems: full or short names; the dataset must contain all of them.
        expert: the expert of a default-named dataset; each expert has a separate folder.
        total_samples: rows over all systems of the name; 2,000 per system by default.
        split_ratio: training share of a new dataset.
        blocks: the move blocking; each one except the default has a separate folder.
        progress: called with the number of finished rows and the total.

    Raises:
        InputError: the dataset is missing and its name does not define its content, or it has other settings.
    """
    wanted = canonical_systems(systems)
    parsed = _parse_name(name, wanted, expert)
    path = workspace.datasets / parsed.folder(blocks)
    if not path.is_dir():
        if not parsed.systems:
            raise InputError(
                f"there is no dataset {parsed.text!r} in {str(workspace.datasets)!r}, and its name does not define its "
                f"content. Generate it with: {parsed.command(wanted)}"
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
    required = {"blocks": list(blocks.lengths), "problems": problem_definitions(info.systems)}
    _require(info, required if total_samples is None else required | {"total_samples": total_samples})
    return info


def create(
    workspace: Workspace,
    name: str | None,
    recipe: Recipe,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> DatasetInfo:
    """Generate the dataset of `recipe` as `name`, or reuse an identical one, even if another process has just made it.

    Raises:
        InputError: the name is used by another recipe, or is the default name of other systems; the folder of the
            datasets is a link.
    """
    parsed = _parse_name(name, recipe.systems, recipe.expert)
    if parsed.systems and (set(parsed.systems), parsed.expert) != (set(recipe.systems), recipe.expert):
        raise InputError(
            f"the name {name!r} is reserved for data of {', '.join(parsed.systems)} from the {parsed.expert} expert, "
            f"but {', '.join(recipe.systems)} from the {recipe.expert} expert were requested. Choose another name."
        )
    workspace.require_writable()
    path = workspace.datasets / parsed.folder(recipe.blocking)
    remove_leftovers(workspace.datasets)
    if not path.is_dir():
        require_real(path, workspace.root)
        publish(path, recipe, generate(recipe, workers=workers, progress=progress))
    info = read_info(path)
    verify_files(info)
    _require(info, recipe.definition())
    return info


def _parse_name(name: str | None, systems: tuple[str, ...], expert: Expert) -> DatasetName:
    parsed = (names.joined(systems) if name is None else names.parse(name)).of_expert(expert)
    if parsed.systems:
        _require_systems(parsed.text, parsed.systems, systems)
    return parsed


def _require_systems(name: str, held: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    missing = [system for system in wanted if system not in held]
    if missing:
        raise InputError(
            f"dataset {name!r} contains {', '.join(held)}, but not {', '.join(missing)}. Use "
            f"{'+'.join(wanted)!r}, which contains all systems, or name one dataset per system."
        )


def _require(info: DatasetInfo, settings: dict[str, Any]) -> None:
    """Reject an existing dataset that was generated with other settings."""
    different = [found for key, value in settings.items() for found in _differences(key, info.recipe.get(key), value)]
    if different:
        raise InputError(
            f"dataset {info.name!r} exists with other settings: {'; '.join(different)}. Choose another name with "
            f"--dataset-name, or delete the folder {str(info.path)!r}."
        )


def changed_problems(info: DatasetInfo) -> list[str]:
    """Describe every change to the dataset's problems since it was generated."""
    return list(_differences("problems", info.recipe.get("problems"), problem_definitions(info.systems)))


def _differences(place: str, recorded: Any, wanted: Any) -> Iterator[str]:
    """Yield `place is x, not y` for every leaf entry that differs."""
    if isinstance(recorded, Mapping) and isinstance(wanted, Mapping):
        for key in dict.fromkeys([*recorded, *wanted]):
            yield from _differences(f"{place}.{key}", recorded.get(key), wanted.get(key))
    elif recorded != wanted:
        yield f"{place} is {_shortened(recorded)}, not {_shortened(wanted)}"


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
