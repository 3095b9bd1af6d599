"""Combinations of levels that were never run: which effects they alias, and which factors can still be tested."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from setpoint.analysis.data.experiment import Level
from setpoint.analysis.statistics.incomplete import IncompleteDesign
from setpoint.formatting import level_text, listed

MOST_CELLS = 4096
"""Number of combinations up to which a design with missing ones is analysed."""
MOST_NAMED = 4
"""Number of missing combinations that a note lists."""
Cell = tuple[Level, ...]


@dataclass(frozen=True)
class MissingCombinations:
    """The consequences of combinations that were never run.

    Attributes:
        factors: factors whose main effects can be estimated together.
        aliases: factor -> names of the effects that it is aliased with, also of factors that are not in `factors`.
        design: the combinations of `factors` that have runs; None if none is missing.
        notes: explanation.
    """

    factors: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    design: IncompleteDesign | None
    notes: tuple[str, ...]


def missing_combinations(
    cells: Collection[Cell], levels: Mapping[str, tuple[Level, ...]]
) -> MissingCombinations | None:
    """Return the consequences of missing combinations; None if none is missing, or if there are too many cells.

    Args:
        cells: the combinations that were run, with the levels in the order of `levels`.
        levels: all levels of each factor.
    """
    size = math.prod(len(found) for found in levels.values())
    if len(levels) < 2 or len(set(cells)) == size or size > MOST_CELLS:
        return None
    names = list(levels)
    codes = {name: {level: k for k, level in enumerate(found)} for name, found in levels.items()}
    coded = {tuple(codes[name][level] for name, level in zip(names, cell, strict=True)) for cell in cells}
    shape = tuple(len(found) for found in levels.values())
    kept: list[int] = []
    aliases: dict[str, tuple[str, ...]] = {}
    for axis in range(len(names)):
        if _design(coded, shape, [*kept, axis]).additive:
            kept.append(axis)
            continue
        rivals = [other for other in kept if not _design(coded, shape, [other, axis]).additive] or kept
        aliases[names[axis]] = tuple(names[other] for other in rivals)
        for other in rivals:
            aliases[names[other]] = (*aliases.get(names[other], ()), names[axis])
    if not kept:
        return None
    design = _design(coded, shape, kept)
    notes = [_aliased_note(names[axis], aliases[names[axis]]) for axis in range(len(names)) if axis not in kept]
    if len(design.present) == math.prod(design.shape):
        return MissingCombinations(tuple(names[axis] for axis in kept), aliases, None, tuple(notes))
    for place, axis in enumerate(kept):
        pairs = [f"{names[kept[a]]} × {names[kept[b]]}" for a, b in design.aliases(place)]
        if pairs:
            aliases[names[axis]] = (*aliases.get(names[axis], ()), *pairs)
            notes.append(f"the effect of {names[axis]} is aliased with the interaction {listed(pairs)}")
    notes.append(_never_run(design, [names[axis] for axis in kept], levels))
    return MissingCombinations(tuple(names[axis] for axis in kept), aliases, design, tuple(notes))


def _design(coded: Collection[tuple[int, ...]], shape: Sequence[int], axes: Sequence[int]) -> IncompleteDesign:
    present = sorted({tuple(cell[axis] for axis in axes) for cell in coded})
    return IncompleteDesign(tuple(shape[axis] for axis in axes), tuple(present))


def _aliased_note(factor: str, others: Sequence[str]) -> str:
    return f"{factor} is aliased with {listed(others)}: they change together, so their effects cannot be separated"


def _never_run(design: IncompleteDesign, names: Sequence[str], levels: Mapping[str, tuple[Level, ...]]) -> str:
    missing = [cell for cell in product(*map(range, design.shape)) if cell not in set(design.present)]
    texts = [
        " with ".join(f"{name} {level_text(levels[name][code])}" for name, code in zip(names, cell, strict=True))
        for cell in missing[:MOST_NAMED]
    ]
    more = f"; and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return f"never run: {'; '.join(texts)}{more} (level means assume that effects add up there)"
