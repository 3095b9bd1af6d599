"""Which combinations of swept values become configurations: all of them, a balanced fraction, or points of a space.

Zipped parameters vary together and are one axis. A parameter with a condition is swept only where that holds, and keeps
its default elsewhere. The points of a random or Sobol design follow from the specification alone, not from the training
seed: replicates repeat the same configurations.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import combinations as choices
from itertools import islice, product

import numpy as np

from setpoint.errors import InputError
from setpoint.experiments.planning.parameters import find
from setpoint.experiments.planning.spec import ExperimentSpec, SingleSpec, SweptSpec
from setpoint.experiments.planning.spec_fields import TRAINING_TYPE, Range
from setpoint.records.plan import Value
from setpoint.seeding import generator

_PRIMES = (2, 3, 5)
_WORDS = 100_000
"""Words that are looked at in the search for a good fraction."""
_LOWEST_RESOLUTION = 3
_DIGITS = 3
"""Significant digits of values that are drawn from a range."""

Setting = dict[str, Value]


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """What varies together: the values of one parameter, of several that are zipped, or a range.

    Attributes:
        levels: a value for each name; empty for a range.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Value, ...], ...] = ()
    range: Range | None = None

    def at(self, share: float) -> Setting:
        """The setting at `share` of the way from the first to the last, 0 ≤ share < 1."""
        if self.range is None:
            values = self.levels[int(share * len(self.levels))]
            return dict(zip(self.names, values, strict=True))
        return {self.names[0]: _within(self.range, share)}


def configurations(spec: SweptSpec, training_type: str) -> list[Setting]:
    """The combinations of swept values that a training type is run with, each once.

    A parameter that the training type does not read is no axis of it.
    """
    read = {name for name in (*spec.parameters, *spec.ranges) if find(name).places_in(training_type)}
    found: dict[tuple[tuple[str, Value], ...], Setting] = {}
    for point in _points(spec, read):
        setting = _conditional(spec, {name: point[name] for name in point if name in read}, training_type)
        found.setdefault(tuple(setting.items()), setting)
    return list(found.values())


def axes(spec: SweptSpec) -> list[SweepAxis]:
    """The axes in the order of the specification; zipped parameters stand where their first one does."""
    zipped = {name: names for names in spec.zipped for name in names}
    groups = dict.fromkeys(zipped.get(name, (name,)) for name in spec.parameters)
    listed = [SweepAxis(names, tuple(zip(*(spec.parameters[name] for name in names), strict=True))) for names in groups]
    return [*listed, *(SweepAxis((name,), range=found) for name, found in spec.ranges.items())]


def joint_levels(spec: ExperimentSpec, factors: Setting) -> Setting:
    """For zipped parameters, whose effects are confounded, one factor: `a+b` -> `4+0.0001`."""
    if isinstance(spec, SingleSpec):
        return {}
    return {
        "+".join(names): "+".join(str(factors[name]) for name in names)
        for names in spec.zipped
        if all(name in factors for name in names)
    }


def resolution(spec: SweptSpec) -> int | None:
    """Resolution of a fractional design: main effects are aliased with interactions of at least resolution − 1 factors.

    None where every combination is run.
    """
    if spec.design != "fractional":
        return None
    sizes = [len(axis.levels) for axis in axes(spec)]
    prime, free = _fraction_size(sizes, spec.configurations)
    if free == len(sizes):
        return None
    return _resolution(_columns(len(sizes), free, prime), prime)


def check_design(spec: SweptSpec) -> list[InputError]:
    """What is wrong with zips, conditions, ranges and their design, with canonical names."""
    zips = list(_bad_zips(spec))
    return [*zips, *_bad_conditions(spec), *(() if zips else _bad_sizes(spec))]


def _points(spec: SweptSpec, read: set[str]) -> Iterable[Setting]:
    every = axes(spec)
    if spec.design == "full":
        return (_joined(point) for point in product(*(_settings(axis) for axis in every if read & set(axis.names))))
    if spec.design == "fractional":
        return _fraction(every, spec.configurations)
    drawn = _sobol if spec.design == "sobol" else _random
    return ({**_joined([axis.at(share) for axis, share in zip(every, row, strict=True)])} for row in drawn(spec, every))


def _settings(axis: SweepAxis) -> list[Setting]:
    return [dict(zip(axis.names, values, strict=True)) for values in axis.levels]


def _joined(parts: Iterable[Setting]) -> Setting:
    return {name: value for part in parts for name, value in part.items()}


def _conditional(spec: SweptSpec, setting: Setting, training_type: str) -> Setting:
    """`setting` without the parameters whose conditions do not hold; those of a left-out parameter never do."""
    kept = dict(setting)
    while True:
        known: Mapping[str, Value] = {**kept, TRAINING_TYPE: training_type}
        unmet = [
            name
            for name in kept
            if any(known.get(other) not in values for other, values in spec.conditions.get(name, {}).items())
        ]
        if not unmet:
            return kept
        kept = {name: value for name, value in kept.items() if name not in unmet}


def _random(spec: SweptSpec, every: Sequence[SweepAxis]) -> Iterator[list[float]]:
    source = generator("design", spec.design, *("+".join(axis.names) for axis in every))
    for _ in range(spec.configurations or 0):
        yield [float(share) for share in source.random(len(every))]


def _sobol(spec: SweptSpec, every: Sequence[SweepAxis]) -> list[list[float]]:
    """Scrambled Sobol points, which fill the space more evenly than random ones."""
    from scipy.stats import qmc

    source = generator("design", spec.design, *("+".join(axis.names) for axis in every))
    sampler = qmc.Sobol(len(every), scramble=True, rng=source)
    exponent = math.ceil(math.log2(max(2, spec.configurations or 0)))
    points: list[list[float]] = sampler.random_base2(exponent)[: spec.configurations].tolist()
    return points


def _within(found: Range, share: float) -> float:
    if found.scale == "log":
        value = math.exp(math.log(found.min) + share * (math.log(found.max) - math.log(found.min)))
    else:
        value = found.min + share * (found.max - found.min)
    if found.whole:
        return int(min(found.max, max(found.min, round(value))))
    return min(found.max, max(found.min, float(f"{value:.{_DIGITS}g}")))


def _fraction(every: Sequence[SweepAxis], largest: int | None) -> list[Setting]:
    """A regular fraction: the first axes vary freely, every other is a sum of some of them, modulo the levels."""
    sizes = [len(axis.levels) for axis in every]
    prime, free = _fraction_size(sizes, largest)
    columns = _columns(len(sizes), free, prime)
    rows = product(range(prime), repeat=free)
    return [
        _joined(
            _settings(axis)[sum(a * b for a, b in zip(row, column, strict=True)) % prime]
            for axis, column in zip(every, columns, strict=True)
        )
        for row in rows
    ]


def _fraction_size(sizes: Sequence[int], largest: int | None) -> tuple[int, int]:
    """Levels of every axis, and how many axes vary freely: as few as main effects need, or up to `largest` runs."""
    prime, count = sizes[0], len(sizes)
    free = next(m for m in range(1, count + 1) if (prime**m - 1) // (prime - 1) >= count)
    while largest is not None and free < count and prime ** (free + 1) <= largest:
        free += 1
    return prime, free


@cache
def _columns(count: int, free: int, prime: int) -> tuple[tuple[int, ...], ...]:
    """For every axis its coefficients in the free ones; of the fractions tried, the one with the highest resolution."""
    basis = [tuple(int(i == j) for i in range(free)) for j in range(free)]
    others = [
        column
        for column in product(range(prime), repeat=free)
        if sum(map(bool, column)) > 1 and next(filter(None, column)) == 1
    ]
    others.sort(key=lambda column: (-sum(map(bool, column)), column))
    tried = islice(choices(others, count - free), max(1, _WORDS // prime**count))
    return max(((*basis, *more) for more in tried), key=lambda columns: _resolution(columns, prime))


@cache
def _resolution(columns: tuple[tuple[int, ...], ...], prime: int) -> int:
    """The fewest axes whose weighted sum is constant: the length of the shortest defining word."""
    if prime ** len(columns) > _WORDS:
        return _LOWEST_RESOLUTION
    words = np.array(list(product(range(prime), repeat=len(columns))), dtype=np.int64)[1:]
    constant = ~((words @ np.array(columns)) % prime).any(axis=1)
    lengths = (words[constant] != 0).sum(axis=1)
    return int(lengths.min()) if len(lengths) else len(columns) + 1


def _bad_zips(spec: SweptSpec) -> Iterator[InputError]:
    seen: set[str] = set()
    for names in spec.zipped:
        missing = [name for name in names if name not in spec.parameters]
        lengths = {name: len(spec.parameters[name]) for name in names if name in spec.parameters}
        twice = sorted(seen & set(names)) or sorted({name for name in names if names.count(name) > 1})
        seen |= set(names)
        if missing:
            yield InputError(
                f"only parameters with listed values can be zipped, not {', '.join(missing)}. List values under "
                "parameters, or remove it from the zip."
            )
        elif len(names) < 2:
            yield InputError(f"a zip needs two or more parameters, got {', '.join(names) or 'none'}. Add one.")
        elif twice:
            yield InputError(f"{', '.join(twice)} is zipped twice. Name it in one group only.")
        elif len(set(lengths.values())) > 1:
            text = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            yield InputError(f"zipped parameters need equally many values, but {text}. Make the lists equally long.")


def _bad_conditions(spec: SweptSpec) -> Iterator[InputError]:
    swept = {*spec.parameters, *spec.ranges}
    if circle := _circle(spec.conditions):
        yield InputError(f"circular conditions: {' depends on '.join(circle)}. Remove one of them.")
    for name, wanted in spec.conditions.items():
        if name not in swept:
            yield InputError(f"{name} has a condition but is not swept. Sweep it, or remove the condition.")
        for other, values in wanted.items():
            known = spec.training_types if other == TRAINING_TYPE else spec.parameters.get(other)
            if other == name or known is None:
                yield InputError(
                    f"{name} cannot depend on {other}. Name {TRAINING_TYPE} or another parameter with listed values: "
                    f"{', '.join(filter(lambda n: n != name, [TRAINING_TYPE, *spec.parameters]))}."
                )
            elif not set(values) & set(known):
                yield InputError(
                    f"the condition of {name} never holds: {other} is never {', '.join(map(str, values))}. Choose from "
                    f"its values: {', '.join(map(str, known))}."
                )


def _circle(conditions: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The parameters of a cycle of conditions, the first again at the end; empty without one."""
    others = {name: [other for other in wanted if other != name] for name, wanted in conditions.items()}
    try:
        TopologicalSorter(others).prepare()
    except CycleError as error:
        return [str(name) for name in reversed(error.args[1])]
    return []


def _bad_sizes(spec: SweptSpec) -> Iterator[InputError]:
    drawn = spec.design in {"random", "sobol"}
    if spec.ranges and not drawn:
        yield InputError(
            f"a range needs a random or sobol design, but {', '.join(spec.ranges)} has one and the design is "
            f"{spec.design!r}. Set --design random or sobol, or list values."
        )
    if drawn and spec.configurations is None:
        yield InputError(f"a {spec.design} design needs --configurations. Set the number of points.")
    if drawn and not (spec.parameters or spec.ranges):
        yield InputError(f"a {spec.design} design needs swept parameters. Add --parameters.")
    if spec.design == "full" and spec.configurations is not None:
        yield InputError("--configurations has no effect in a full design. Remove it, or choose another --design.")
    if spec.design == "fractional":
        sizes = {", ".join(axis.names): len(axis.levels) for axis in axes(spec) if not axis.range}
        if len(sizes) < 3 or len(set(sizes.values())) > 1 or next(iter(sizes.values())) not in _PRIMES:
            text = "; ".join(f"{name}: {size}" for name, size in sizes.items()) or "none"
            yield InputError(
                "a fractional design needs three or more swept parameters with 2 values each (or 3, or 5), got "
                f"{text}. Change the values, or set --design full or sobol."
            )
