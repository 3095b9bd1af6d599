"""Designs that fit a budget: more seeds, fewer levels, a regular fraction, or a screening design."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from setpoint.errors import InputError
from setpoint.experiments.planning.designs import axes, check_design
from setpoint.experiments.planning.spec import (
    CrossSystemSpec,
    ExperimentSpec,
    SingleSpec,
    SweepSpec,
    SweptSpec,
    TransferSpec,
)
from setpoint.experiments.planning.spec_fields import Range
from setpoint.records.plan import Plan

Unit = Literal["runs", "gpu-hours", "core-hours"]
_UNITS: dict[str, Unit] = {"runs": "runs", "run": "runs", "gpuh": "gpu-hours", "coreh": "core-hours"}
_UNITS |= {"gpu-hours": "gpu-hours", "core-hours": "core-hours"}
MOST_SEEDS = 20
"""Largest number of seeds offered; beyond it, more levels are more informative."""
OFFERS = 3
_HALVED_FROM = 4
"""If only one design fits and has at least this many seeds, offer it with half the seeds too, for comparison."""
VARIED = frozenset({"parameters", "ranges", "conditions", "design", "configurations", "replicates", "systems"})
"""Specification fields in which the offered designs may differ."""

Planner = Callable[[SweptSpec], Plan]
Pricer = Callable[[Plan], float]


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limit on runs or hours."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Parse `12runs`, `8core-hours` (`8coreh`) or `40gpu-hours` (`40gpuh`).

        Raises:
            InputError: the text has another form, or the amount is zero.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z-]+)", text.strip().lower())
        if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
            form = "12runs, 8core-hours or 40gpu-hours"
            raise InputError(f"a budget must be a positive number with a unit, got {text!r}. Write for example {form}.")
        return cls(float(match[1]), _UNITS[match[2]])

    def __str__(self) -> str:
        """Return the budget as users write it, with the canonical unit."""
        return f"{self.amount:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A design within the budget.

    Attributes:
        spent: cost in the unit of the budget.
        runs_per_level: smallest number of runs per level of a parameter; 0 if the design has no levels to compare.
        levels: largest number of levels of a parameter.
        parameters: number of parameters with levels to compare.
    """

    name: str
    spec: SweptSpec
    runs: int
    configurations: int
    spent: float
    runs_per_level: int
    levels: int
    parameters: int


def offers(spec: ExperimentSpec, budget: Budget, plan: Planner, price: Pricer) -> list[Offer]:
    """Return at most three designs for the question of `spec` within `budget`, the recommended one first.

    Args:
        plan: builds the plan of a specification.
        price: returns the cost of a plan's unfinished stages, in the unit of the budget.

    Raises:
        InputError: no design fits.
    """
    if isinstance(spec, SingleSpec):
        raise InputError("a budget chooses among designs, but a single run has only one. Remove --budget.")
    found: list[Offer] = []
    least: float | None = None
    for name, variant in _variants(spec):
        one, two = (price(plan(_with_seeds(variant, seeds))) for seeds in (1, 2))
        if budget.unit == "gpu-hours" and two <= 0.0:
            raise InputError(
                f"a budget of {budget} sets no limit, because no stage has used a GPU here. Use core-hours or runs."
            )
        least = one if least is None else min(least, one)
        each = max(two - one, 1e-12)
        seeds = min(MOST_SEEDS, 1 + int((budget.amount - one) / each + 1e-9)) if one <= budget.amount else 0
        if seeds:
            seeded = _with_seeds(variant, 1 if variant.design == "sobol" else seeds)
            offer = _offer(name, seeded, plan(seeded), price)
            if offer.spec not in [other.spec for other in found]:
                found.append(offer)
    if not found:
        raise InputError(
            f"no design fits into {budget}: the smallest needs {least or 0.0:.3g} {budget.unit}. "
            "Raise the budget, or sweep fewer values."
        )
    if len(found) == 1 and found[0].spec.replicates >= _HALVED_FROM:
        half = _with_seeds(found[0].spec, found[0].spec.replicates // 2)
        found.append(_offer(f"{found[0].name}, half the seeds", half, plan(half), price))
    enough = [offer for offer in found if offer.spec.replicates >= 3]
    best = (enough or sorted(found, key=lambda offer: -offer.runs_per_level))[0]
    return [best, *(offer for offer in found if offer is not best)][:OFFERS]


def _variants(spec: SweptSpec) -> Iterator[tuple[str, SweptSpec]]:
    """Yield cheaper variants of `spec`, ordered by what they give up; impossible designs are left out."""
    yield "as specified", spec
    if isinstance(spec, SweepSpec) and spec.only:  # the question is about these configurations
        return
    ends = spec.model_copy(update={"parameters": {n: _ends(v) for n, v in spec.parameters.items()}, "conditions": {}})
    if spec.design == "full" and not spec.conditions:
        if ends != spec:
            yield "lowest and highest values only", ends
        fraction = ends.model_copy(update={"design": "fractional"})
        if not check_design(fraction):
            yield "fractional design of the lowest and highest values", fraction
        if screen := _screen(spec):
            yield "screening design with one seed, to be confirmed", screen
    one_fits = not isinstance(spec, CrossSystemSpec | TransferSpec) and not spec.datasets and spec.dataset_name is None
    if one_fits and len(spec.systems) > 1:
        yield f"{spec.systems[0]} only", spec.model_copy(update={"systems": spec.systems[:1]})


def _screen(spec: SweptSpec) -> SweptSpec | None:
    """Return a Sobol design over the ranges of the numeric parameters, with half as many points as combinations."""
    listed = {name: values for name, values in spec.parameters.items() if not _numeric(values)}
    ranges = {
        name: Range(
            min=float(min(values)),
            max=float(max(values)),
            scale="log" if min(values) > 0 and max(values) / min(values) >= 4 else "linear",  # type: ignore[operator]
            whole=all(isinstance(value, int) for value in values),
        )
        for name, values in spec.parameters.items()
        if name not in listed
    }
    combinations = 1
    for axis in axes(spec):
        combinations *= len(axis.levels)
    if len(ranges) < 2 or spec.zipped or combinations < 8:
        return None
    update = {"design": "sobol", "configurations": combinations // 2, "parameters": listed, "ranges": ranges}
    return spec.model_copy(update=update)


def _numeric(values: tuple[object, ...]) -> bool:
    return len(values) > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ends(values: tuple[object, ...]) -> tuple[object, ...]:
    if not _numeric(values):
        return values
    return (min(values), max(values))  # type: ignore[type-var]


def _with_seeds(spec: SweptSpec, seeds: int) -> SweptSpec:
    return spec.model_copy(update={"replicates": seeds})


def _offer(name: str, spec: SweptSpec, plan: Plan, price: Pricer) -> Offer:
    levels = {factor: Counter(run.factors.get(factor) for run in plan.runs) for factor in plan.analysis.factors}
    comparable = {} if spec.design in {"random", "sobol"} else levels
    return Offer(
        name=name,
        spec=spec,
        runs=len(plan.runs),
        configurations=len({run.configuration for run in plan.runs}),
        spent=price(plan),
        runs_per_level=min((min(found.values()) for found in comparable.values()), default=0),
        levels=max(map(len, comparable.values()), default=0),
        parameters=len(comparable),
    )
