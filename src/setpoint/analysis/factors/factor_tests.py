"""A factorial that can be analysed, with the pre-declared tests that several claims share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float

from setpoint.analysis.data.design import SYSTEM, Factorial
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.factors.case_variance import cells_for_new_cases
from setpoint.analysis.runs.reliability import survivor_caveat
from setpoint.analysis.statistics import effects, levels
from setpoint.analysis.statistics.cells import Cells
from setpoint.formatting import counted

ATS = "mean-based ANOVA-type statistic with Box approximation"
INTERACTION_ERROR = "F test against the interactions' mean square"


@dataclass(frozen=True)
class LevelTable:
    """The levels of one parameter.

    Attributes:
        weights: rows that average the cells of each level.
        means: of the levels, on the analysed scale.
        ranked: positions of the levels, the best observed first.
        against_best: every other level minus the best observed one.
        possibly_best: positions of the levels that may be the best.
    """

    weights: Float[np.ndarray, "levels C"]
    means: Float[np.ndarray, "levels"]
    ranked: list[int]
    against_best: Mapping[int, levels.Comparison | None]
    possibly_best: list[int]


@dataclass(frozen=True)
class SweepTests:
    """A factorial that can be analysed, with the tests that several claims share."""

    data: ExperimentData
    design: Factorial
    cells: Cells
    tables: Mapping[str, LevelTable]
    main_p: Mapping[str, float]
    interaction_p: Mapping[tuple[str, str], float]
    raw_p: Mapping[str | tuple[str, str], float]
    only_these_cases: frozenset[str | tuple[str, str]]
    """Factors and pairs whose effect is significant on the cases that were tried, and would not be for new ones."""

    @property
    def parameters(self) -> list[str]:
        """The factors that were swept."""
        return [factor for factor in self.design.factors if factor != SYSTEM]

    @property
    def alpha(self) -> float:
        """The declared level."""
        return self.data.analysis.alpha

    @property
    def seeds(self) -> str:
        """How many runs a cell has, in words."""
        low, high = self.design.replicates
        return counted(high, "seed") if low == high else f"{low} to {high} seeds"

    def position(self, factor: str) -> int:
        """Which axis of the cells belongs to `factor`."""
        return self.design.factors.index(factor)

    def levels_of(self, factor: str) -> tuple[Level, ...]:
        """The levels that are compared."""
        return self.design.levels[self.position(factor)]

    def interacting(self, factor: str) -> list[str]:
        """Parameters whose interaction with `factor` is supported."""
        pairs = [pair for pair, p in self.interaction_p.items() if factor in pair and p < self.alpha]
        return [second if first == factor else first for first, second in pairs]

    def case_caveat(self, effect: str | tuple[str, str]) -> list[str]:
        """What keeps a significant effect from holding for other cases."""
        return ["shown for these cases only: with new cases it may not hold"] if effect in self.only_these_cases else []

    @cached_property
    def caveats(self) -> list[str]:
        """What keeps any claim of this sweep from being final."""
        interim = f"interim: {counted(self.pending, 'run')} of {len(self.data.runs)} still to come"
        return [*([interim] if self.pending else []), *self.design.notes, *survivor_caveat(self.data)]

    @cached_property
    def pending(self) -> int:
        """Runs whose results may still come."""
        return sum(run.pending for run in self.data.runs)


def run_tests(data: ExperimentData, design: Factorial, cells: Cells) -> SweepTests:
    """Run the two pre-declared families of tests: main effects, and two-way interactions."""
    parameters = [factor for factor in design.factors if factor != SYSTEM]
    position = {factor: k for k, factor in enumerate(design.factors)}
    pairs: list[tuple[str, str]] = []
    if design.replicates[0] >= 2:
        pairs = list(combinations(design.factors, 2))
    raw = _raw(cells, design, pairs)
    main, both = _adjusted(raw, data)
    for_new = cells_for_new_cases(design, cells)
    only_these: set[str | tuple[str, str]] = set()
    if for_new is not None:
        new_main, new_both = _adjusted(_raw(for_new, design, pairs), data)
        alpha = data.analysis.alpha
        only_these |= {factor for factor in main if main[factor] < alpha <= new_main[factor]}
        only_these |= {pair for pair in both if both[pair] < alpha <= new_both[pair]}
    return SweepTests(
        data=data,
        design=design,
        cells=cells,
        tables={factor: _level_table(cells, position[factor], data.analysis.alpha) for factor in parameters},
        main_p=main,
        interaction_p=both,
        raw_p=raw,
        only_these_cases=frozenset(only_these),
    )


def _raw(cells: Cells, design: Factorial, pairs: Sequence[tuple[str, str]]) -> dict[str | tuple[str, str], float]:
    """Uncorrected p-values of the main effects and of the interactions."""
    position = {factor: k for k, factor in enumerate(design.factors)}
    found: dict[str | tuple[str, str], float] = {
        f: effects.anova_type_test(cells, (k,)).p for f, k in position.items() if f != SYSTEM
    }
    return found | {(a, b): effects.anova_type_test(cells, (position[a], position[b])).p for a, b in pairs}


def _adjusted(
    raw: Mapping[str | tuple[str, str], float], data: ExperimentData
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Adjusted p-values of the main effects and of the interactions."""
    pairs = {effect: p for effect, p in raw.items() if isinstance(effect, tuple)}
    both = effects.holm(list(pairs.values()))
    single = {effect: p for effect, p in raw.items() if isinstance(effect, str)}
    return holm_by_family(single, data.analysis.families), dict(zip(pairs, both, strict=True))


def holm_by_family(p_values: Mapping[str, float], families: Sequence[Sequence[str]]) -> dict[str, float]:
    """Holm's correction within each family; factors of no family are one more."""
    assigned = {factor for family in families for factor in family}
    rest = [factor for factor in p_values if factor not in assigned]
    adjusted: dict[str, float] = {}
    for family in (*families, rest):
        tested = [factor for factor in family if factor in p_values and factor not in adjusted]
        adjusted |= zip(tested, effects.holm([p_values[factor] for factor in tested]), strict=True)
    return {factor: adjusted[factor] for factor in p_values}


def _level_table(cells: Cells, factor: int, alpha: float) -> LevelTable:
    weights = cells.marginal_weights(factor)
    means = weights @ cells.means
    ranked = levels.order(means)
    against_best = levels.against(cells, weights, ranked[0], alpha)
    return LevelTable(weights, means, ranked, against_best, levels.possibly_best(cells, weights, alpha))


def method_of(sweep: SweepTests) -> str:
    """The test of the main effects."""
    return ATS if sweep.design.replicates[0] >= 2 else INTERACTION_ERROR
