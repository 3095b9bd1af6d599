"""Designs that fit a budget: the same question with more seeds, with fewer levels, of a fraction, or as a screen."""

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
"""More seeds than this are not offered; more levels tell more."""
OFFERS = 3
_HALVED_FROM = 4
"""Where there is one design alone, the same with half of its seeds shows what the other half buys."""
VARIED = frozenset({"parameters", "ranges", "conditions", "design", "configurations", "replicates", "systems"})
"""Fields in which designs for one question may differ."""

Planner = Callable[[SweptSpec], Plan]
Pricer = Callable[[Plan], float]


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent at most."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """`12runs`, `8core-hours` (`8coreh`) or `40gpu-hours` (`40gpuh`).

        Raises:
            InputError: another form, or nothing to spend.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z-]+)", text.strip().lower())
        if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
            form = "12runs, 8core-hours or 40gpu-hours"
            raise InputError(f"a budget is a number above 0 with a unit, such as {form}, but is {text!r}.")
        return cls(float(match[1]), _UNITS[match[2]])

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.amount:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Offer:
    """A design within the budget.

    Attributes:
        spent: in the unit of the budget.
        runs_per_level: runs behind each level of a parameter, at the parameter and level with the fewest; 0 where the
            design has no levels to compare.
        levels: of the parameter with the most.
        parameters: how many have levels to compare.
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
    """At most three designs that ask the question of `spec` within `budget`; the first is recommended.

    Args:
        plan: makes the plan of a specification.
        price: what is left to do of a plan, in the unit of the budget.

    Raises:
        InputError: nothing fits.
    """
    if isinstance(spec, SingleSpec):
        raise InputError("a budget chooses among designs, but a single run has one. Remove --budget.")
    found: list[Offer] = []
    least: float | None = None
    for name, variant in _variants(spec):
        one, two = (price(plan(_with_seeds(variant, seeds))) for seeds in (1, 2))
        if budget.unit == "gpu-hours" and two <= 0.0:
            raise InputError(
                f"{budget} set no bound, for nothing that has run here used a GPU. Use core-hours or runs."
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
            f"nothing fits into {budget}: the smallest design needs {least or 0.0:.3g} {budget.unit}. "
            "Raise the budget, or ask for less."
        )
    if len(found) == 1 and found[0].spec.replicates >= _HALVED_FROM:
        half = _with_seeds(found[0].spec, found[0].spec.replicates // 2)
        found.append(_offer(f"{found[0].name}, with half of the seeds", half, plan(half), price))
    enough = [offer for offer in found if offer.spec.replicates >= 3]
    best = (enough or sorted(found, key=lambda offer: -offer.runs_per_level))[0]
    return [best, *(offer for offer in found if offer is not best)][:OFFERS]


def _variants(spec: SweptSpec) -> Iterator[tuple[str, SweptSpec]]:
    """Ways to ask for the same with less, by what they give up; those that cannot be designed are left out."""
    yield "as asked", spec
    if isinstance(spec, SweepSpec) and spec.only:  # the question is about these configurations
        return
    ends = spec.model_copy(update={"parameters": {n: _ends(v) for n, v in spec.parameters.items()}, "conditions": {}})
    if spec.design == "full" and not spec.conditions:
        if ends != spec:
            yield "lowest and highest values only", ends
        fraction = ends.model_copy(update={"design": "fractional"})
        if not check_design(fraction):
            yield "a fraction of the lowest and highest values", fraction
        if screen := _screen(spec):
            yield "a screen without seeds, to be confirmed", screen
    one_fits = not isinstance(spec, CrossSystemSpec | TransferSpec) and not spec.datasets and spec.dataset_name is None
    if one_fits and len(spec.systems) > 1:
        yield f"{spec.systems[0]} only", spec.model_copy(update={"systems": spec.systems[:1]})


def _screen(spec: SweptSpec) -> SweptSpec | None:
    """Half as many points as there are combinations, spread over the ranges of the numbers."""
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
