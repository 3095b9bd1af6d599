"""Experimental designs: full factorials, regular fractions, random and Sobol points.

Zipped parameters vary together and form one axis. A conditional parameter is swept only where its condition holds and
keeps its default elsewhere. Random and Sobol points depend on the specification alone, not on the training seed, so
replicates repeat the same configurations.
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
from setpoint.experiments.planning.spec import ExperimentSpec, SingleSpec, SweepSpec, SweptSpec
from setpoint.experiments.planning.spec_fields import TRAINING_TYPE, Range, Search
from setpoint.records.plan import LEAST_TREND_LEVELS, Value
from setpoint.seeding import generator

_PRIMES = (2, 3, 5)
_WORDS = 100_000
"""Maximum number of words examined in the search for a fraction of high resolution."""
_LOWEST_RESOLUTION = 3
_LAST = 1.0 - 1e-9
_DIGITS = 3
"""Significant digits of values sampled from a range."""

Setting = dict[str, Value]


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """One axis of a design: a parameter with listed values, several zipped parameters, or a range.

    Attributes:
        levels: one tuple per level, with one value per name; empty for a range.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Value, ...], ...] = ()
    range: Range | None = None

    def at(self, share: float) -> Setting:
        """Return the setting at the fraction `share` of the axis, 0 ≤ share < 1."""
        if self.range is None:
            values = self.levels[int(share * len(self.levels))]
            return dict(zip(self.names, values, strict=True))
        return {self.names[0]: _within(self.range, share)}


def configurations(spec: SweptSpec, training_type: str) -> list[Setting]:
    """Return the distinct combinations of swept values for a training type.

    Parameters that the training type does not use are left out.
    """
    listed = {name for point in _listed(spec) for name in point}
    read = {name for name in (*spec.parameters, *spec.ranges, *listed) if find(name).places_in(training_type)}
    found: dict[tuple[tuple[str, Value], ...], Setting] = {}
    for point in _points(spec, read):
        setting = conditional(spec, {name: point[name] for name in point if name in read}, training_type)
        found.setdefault(tuple(setting.items()), setting)
    return list(found.values())


def axes(spec: SweptSpec) -> list[SweepAxis]:
    """Return the axes in the order of the specification; zipped parameters appear at the position of the first."""
    zipped = {name: names for names in spec.zipped for name in names}
    groups = dict.fromkeys(zipped.get(name, (name,)) for name in spec.parameters)
    listed = [SweepAxis(names, tuple(zip(*(spec.parameters[name] for name in names), strict=True))) for names in groups]
    return [*listed, *(SweepAxis((name,), range=found) for name, found in spec.ranges.items())]


def joint_levels(spec: ExperimentSpec, factors: Setting) -> Setting:
    """Return one joint factor per zip, because its parameters are confounded: `a+b` -> `4+0.0001`."""
    if isinstance(spec, SingleSpec):
        return {}
    return {
        "+".join(names): "+".join(str(factors[name]) for name in names)
        for names in spec.zipped
        if all(name in factors for name in names)
    }


def resolution(spec: SweptSpec) -> int | None:
    """Return the resolution R of a fractional design; None if every combination is run.

    Main effects are aliased with interactions of R − 1 or more factors.
    """
    if spec.design != "fractional":
        return None
    sizes = [len(axis.levels) for axis in axes(spec)]
    prime, free = _fraction_size(sizes, spec.configurations)
    if free == len(sizes):
        return None
    return _resolution(_columns(len(sizes), free, prime), prime)


def check_design(spec: SweptSpec) -> list[InputError]:
    """Return the errors in zips, conditions, trends, ranges and the design; names must be canonical."""
    zips = list(_bad_zips(spec))
    return [*zips, *_bad_conditions(spec), *_bad_trends(spec), *(() if zips else _bad_sizes(spec))]


def _bad_trends(spec: SweptSpec) -> Iterator[InputError]:
    joined = {name for names in spec.zipped for name in names}
    for name in spec.trend:
        values = spec.parameters.get(name)
        if values is None or name in joined:
            yield InputError(
                f"a trend needs a swept parameter with listed values that is not zipped, got {name}. List its values "
                "under parameters, or remove it from trend."
            )
        elif any(isinstance(value, str | bool) for value in values):
            yield InputError(f"a trend needs a numeric parameter, but {name} has {values[0]}. Remove it from trend.")
        elif len(set(values)) < LEAST_TREND_LEVELS:
            yield InputError(
                f"a trend needs at least {LEAST_TREND_LEVELS} levels, but {name} has {len(set(values))}. Add values, "
                "or remove it from trend."
            )


def searched(spec: ExperimentSpec) -> Search | None:
    """Return the settings of a search; None for any other experiment."""
    return spec.search if isinstance(spec, SweepSpec) else None


def _listed(spec: SweptSpec) -> tuple[Setting, ...]:
    """Return the configurations that a search has proposed."""
    return spec.points if isinstance(spec, SweepSpec) else ()


def corners(spec: SweptSpec) -> tuple[Setting, ...]:
    """Return the two ends of the space: the first and the last value of every axis."""
    return tuple(_joined(axis.at(share) for axis in axes(spec)) for share in (0.0, _LAST))


def _points(spec: SweptSpec, read: set[str]) -> Iterable[Setting]:
    if searched(spec) or _listed(spec):
        return _listed(spec)
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


def conditional(spec: SweptSpec, setting: Setting, training_type: str) -> Setting:
    """Return `setting` without the parameters whose conditions do not hold."""
    kept = dict(setting)
    while True:  # repeated, because a condition on a removed parameter does not hold either
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
    """Return scrambled Sobol points, which fill the space more evenly than random ones (Owen 1998)."""
    from scipy.stats import qmc

    source = generator("design", spec.design, *("+".join(axis.names) for axis in every))
    sampler = qmc.Sobol(len(every), scramble=True, rng=source)
    # Sobol points are balanced only in powers of two: draw the next power and keep the first points.
    exponent = math.ceil(math.log2(max(2, spec.configurations or 0)))
    points: list[list[float]] = sampler.random_base2(exponent)[: spec.configurations].tolist()
    return points


def _within(found: Range, share: float) -> float:
    if found.scale == "log":
        value = math.exp(math.log(found.min) + share * (math.log(found.max) - math.log(found.min)))
    else:
        value = found.min + share * (found.max - found.min)
    return rounded(found, value)


def rounded(found: Range, value: float) -> float:
    """Return a value within a range, rounded to few digits or to an integer."""
    if found.whole:
        return int(min(found.max, max(found.min, round(value))))
    return min(found.max, max(found.min, float(f"{value:.{_DIGITS}g}")))


def _fraction(every: Sequence[SweepAxis], max_runs: int | None) -> list[Setting]:
    """Return a regular fraction: the first axes vary freely, each other axis is a linear combination of them."""
    sizes = [len(axis.levels) for axis in every]
    prime, free = _fraction_size(sizes, max_runs)
    columns = _columns(len(sizes), free, prime)
    rows = product(range(prime), repeat=free)
    # Levels are elements of GF(prime), so that column @ row modulo `prime` gives the level of each axis.
    return [
        _joined(
            _settings(axis)[sum(a * b for a, b in zip(row, column, strict=True)) % prime]
            for axis, column in zip(every, columns, strict=True)
        )
        for row in rows
    ]


def _fraction_size(sizes: Sequence[int], max_runs: int | None) -> tuple[int, int]:
    """Return the levels per axis and the number of free axes: the minimum for main effects, or up to `max_runs`."""
    prime, count = sizes[0], len(sizes)
    # With m free axes there are (p^m − 1) / (p − 1) columns that are not multiples of each other.
    free = next(m for m in range(1, count + 1) if (prime**m - 1) // (prime - 1) >= count)
    while max_runs is not None and free < count and prime ** (free + 1) <= max_runs:
        free += 1
    return prime, free


@cache
def _columns(count: int, free: int, prime: int) -> tuple[tuple[int, ...], ...]:
    """Return each axis's coefficients in the free axes, for the fraction of highest resolution among those tried."""
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
    """Return the length of the shortest defining word: the fewest axes with a constant linear combination."""
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
            yield InputError(f"{', '.join(twice)} is zipped twice. Keep it in one group.")
        elif len(set(lengths.values())) > 1:
            text = ", ".join(f"{name} has {count}" for name, count in lengths.items())
            yield InputError(
                f"zipped parameters need equal numbers of values, but {text}. Make the lists equally long."
            )


def _bad_conditions(spec: SweptSpec) -> Iterator[InputError]:
    swept = {*spec.parameters, *spec.ranges}
    if cycle := _cycle(spec.conditions):
        yield InputError(f"circular conditions: {' depends on '.join(cycle)}. Remove one of them.")
    for name, wanted in spec.conditions.items():
        if name not in swept:
            yield InputError(f"{name} has a condition but only one value. List more values, or remove the condition.")
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


def _cycle(conditions: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the parameters of a cycle of conditions, with the first repeated at the end; empty if there is none."""
    others = {name: [other for other in wanted if other != name] for name, wanted in conditions.items()}
    try:
        TopologicalSorter(others).prepare()
    except CycleError as error:
        return [str(name) for name in reversed(error.args[1])]
    return []


def _bad_sizes(spec: SweptSpec) -> Iterator[InputError]:
    drawn = spec.design in {"random", "sobol"}
    if searched(spec) and not (spec.parameters or spec.ranges):
        yield InputError("a search needs a space. Add --parameters, such as learning_rate:1e-5..1e-3:log.")
    if spec.ranges and not drawn and not searched(spec):
        yield InputError(
            f"a range needs a random or sobol design, or a search, but {', '.join(spec.ranges)} has a range in a "
            f"{spec.design} design. Set --design random or sobol or --search tpe, or list values."
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
                "a fractional design needs at least three swept parameters with the same number of values (2, 3 or 5), "
                f"got {text}. Change the values, or set --design full or sobol."
            )
