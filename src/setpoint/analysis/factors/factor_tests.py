"""The pre-declared tests of a factorial, which several claims share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from setpoint.analysis.data.design import SYSTEM, Factorial
from setpoint.analysis.data.experiment import ExperimentData, Level, Words
from setpoint.analysis.data.subject import FactorTrend
from setpoint.analysis.factors.case_variance import cells_for_new_cases
from setpoint.analysis.runs.reliability import failure_rates_p, survivor_caveat
from setpoint.analysis.runs.robustness import CLEARLY, NEAR, VERY_NEAR, Analysis, Robustness
from setpoint.analysis.statistics import effects, levels
from setpoint.analysis.statistics.blocks import blocks_matter
from setpoint.analysis.statistics.cells import Cells, Contrast
from setpoint.analysis.statistics.family import inverted
from setpoint.analysis.statistics.symmetry import doubt
from setpoint.analysis.statistics.trends import SHAPES, Axis, axis_of, trend
from setpoint.formatting import counted, factor_label, listed, p_text

ATS = "mean-based ANOVA-type statistic with Box approximation"
INTERACTION_ERROR = "F test against the interactions' mean square"
TRENDS = "linear and curvature contrasts (t with unequal variances)"
EQUAL_FAILURES = 0.5
"""p-value of unequal failure rates below which intervals of finished runs are left out. Failures that depend on the
result bias an interval long before their rates differ significantly (scenario F5)."""
ALIKE = 0.1
"""Significance level at which runs that share a seed are treated as correlated."""
Effect = str | tuple[str, str] | FactorTrend
"""A factor, a pair of interacting factors, or a trend over the levels of a factor."""
Key = TypeVar("Key")


@dataclass(frozen=True)
class LevelTable:
    """The levels of one parameter.

    Attributes:
        weights: weights that average the cells of each level, (levels, C).
        means: means of the levels on the analysis scale, (levels,).
        best: near-best levels.
    """

    weights: Float[np.ndarray, "levels C"]
    means: Float[np.ndarray, "levels"]
    best: levels.BestSet

    @property
    def ranked(self) -> list[int]:
        """Return the positions of the levels, observed best first."""
        return self.best.ranked


@dataclass(frozen=True)
class SweepTests:
    """A factorial with the tests that several claims share.

    Attributes:
        tables: level means and near-best levels of each parameter.
        main_p: p-values of main effects, adjusted within their family.
        interaction_p: p-values of interactions, adjusted over all pairs.
        raw_p: unadjusted p-values of all effects.
        table_p: p-values of all effects, adjusted over main effects and interactions together.
        only_these_cases: effects that are significant on the tested cases, but not for new cases.
        other: analyses that must confirm a significant effect.
        axes_of_trends: axis of each factor that is tested for trends.
        trend_p: p-values of these trends, adjusted within the family of the factor.
    """

    data: ExperimentData
    design: Factorial
    cells: Cells
    tables: Mapping[str, LevelTable]
    main_p: Mapping[str, float]
    interaction_p: Mapping[tuple[str, str], float]
    raw_p: Mapping[Effect, float]
    table_p: Mapping[Effect, float]
    only_these_cases: frozenset[Effect]
    other: Robustness
    axes_of_trends: Mapping[str, Axis] = field(default_factory=dict)
    trend_p: Mapping[FactorTrend, float] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """Return the swept factors."""
        return [factor for factor in self.design.factors if factor != SYSTEM]

    @property
    def alpha(self) -> float:
        """Return the declared significance level."""
        return self.data.analysis.alpha

    @property
    def words(self) -> Words:
        """Return the nouns for runs and replicates."""
        return self.data.words

    @property
    def variability(self) -> str:
        """Return the name of the error term, such as `seed-to-seed variability`."""
        return f"{self.words.replicate}-to-{self.words.replicate} variability"

    @property
    def sample(self) -> str:
        """Return the number of observations per cell as text: `3 seeds per configuration`, or `6 blocks`."""
        low, high = self.design.replicates
        shared = len({o.cluster for o in self.design.observations}) < len(self.design.observations)
        blocked = shared and self.words.run != "run"
        noun = "block" if blocked else self.words.replicate
        count = counted(high, noun) if low == high else f"{low} to {high} {noun}s"
        return f"{count} ({self.words.block})" if blocked else f"{count} per {self.words.configuration}"

    def position(self, factor: str) -> int:
        """Return the axis of the cells that belongs to `factor`."""
        return self.design.factors.index(factor)

    def levels_of(self, factor: str) -> tuple[Level, ...]:
        """Return the levels that are compared."""
        return self.design.levels[self.position(factor)]

    def interacting(self, factor: str) -> list[str]:
        """Return the parameters whose interaction with `factor` is significant."""
        pairs = [pair for pair, p in self.interaction_p.items() if factor in pair and p < self.alpha]
        return [second if first == factor else first for first, second in pairs]

    def trend(self, effect: FactorTrend, cells: Cells | None = None) -> Contrast:
        """Return the contrast of a trend on the analysis scale; in another analysis if its `cells` are given."""
        axis = self.axes_of_trends[effect.factor]
        return trend(self.cells if cells is None else cells, self.position(effect.factor), axis, effect.shape)

    def p_in(self, cells: Cells, effect: Effect) -> float:
        """Return the unadjusted p-value of an effect in another analysis."""
        return _p_of(cells, self.design, effect, self.axes_of_trends)

    def adjusted_p(self, effect: Effect) -> float:
        """Return the p-value of an effect, adjusted within its family."""
        if isinstance(effect, FactorTrend):
            return self.trend_p[effect]
        return self.main_p[effect] if isinstance(effect, str) else self.interaction_p[effect]

    def doubts(self, effect: Effect) -> list[str]:
        """Return the reasons why a significant effect is not supported, most serious first; empty if there are none."""
        adjusted = self.adjusted_p(effect)
        if adjusted >= self.alpha:
            return []
        factor = self._correction(effect)
        found = self.failure_doubts(effect)
        if self.table_p[effect] >= self.alpha:
            found.append(f"{p_text(self.table_p[effect], self.alpha)} after Holm over all {self.tests} effects")
        if self._wide_level_p(effect) >= self.alpha:
            found.append(f"{p_text(self._wide_level_p(effect), self.alpha)} if one level varies most")
        strict = adjusted >= self.alpha / VERY_NEAR or isinstance(effect, tuple)
        if self.other.other_scale is not None:
            found.append(self._unconfirmed(self.other.other_scale, effect, factor, at=1.0 if strict else CLEARLY))
        untrended = isinstance(effect, str) and effect not in self.axes_of_trends
        exact = self.other.exact if untrended and adjusted >= self.alpha / NEAR else None
        if exact is not None and exact.least * factor < self.alpha <= exact.p * factor:
            found.append(f"an exact test gives {p_text(min(1.0, exact.p * factor), self.alpha)}")
        single = effect.factor if isinstance(effect, FactorTrend) else effect
        if isinstance(single, str) and single in self.design.aliases:
            found.append(f"aliased with {listed(self.design.aliases[single])}")
        if effect in self.only_these_cases:
            found.append("shown for these cases only: with new cases it may not hold")
        return [text for text in found if text]

    def _wide_level_p(self, effect: Effect) -> float:
        """Return the p-value of an effect if one level of the only factor may have a much larger variance."""
        p = self.adjusted_p(effect)
        alone = isinstance(effect, str) and effect not in self.axes_of_trends and len(self.design.factors) == 1
        if not alone or not self.cells.independent or self.cells.pooled:
            return p
        return min(1.0, p * effects.wide_level_factor(len(self.cells.means), self.design.replicates[0]))

    def failure_doubts(self, effect: Effect) -> list[str]:
        """Return the analyses with failed runs as worst outcomes that do not confirm a significant effect."""
        if self.adjusted_p(effect) >= self.alpha:
            return []
        untestable = ["it cannot be tested with failed runs ranked worst"] if self.other.untestable else []
        factor = self._correction(effect)
        found = [self._unconfirmed(way, effect, factor) for way in self.other.failures]
        return [*untestable, *(text for text in found if text)]

    @cached_property
    def unequal_failures(self) -> frozenset[str]:
        """Return the parameters whose levels do not clearly fail at equal rates."""
        rates = {factor: failure_rates_p(self.data, factor) for factor in self.parameters}
        return frozenset(factor for factor, p in rates.items() if p < EQUAL_FAILURES)

    def biased_by_failures(self, factor: str) -> bool:
        """Return whether the means of finished runs are no fair comparison of the levels, so have no intervals."""
        return bool(self.failure_doubts(factor)) or factor in self.unequal_failures

    def _correction(self, effect: Effect) -> float:
        """Return the factor by which the correction multiplied an effect's p-value."""
        return self.adjusted_p(effect) / self.raw_p[effect] if self.raw_p[effect] > 0.0 else 1.0

    def _unconfirmed(self, way: Analysis, effect: Effect, factor: float, at: float = 1.0) -> str:
        """Return a note if another analysis does not find an effect at `at` × alpha, with the same correction."""
        p = min(1.0, factor * self.p_in(way.cells, effect))
        if p >= at * self.alpha:
            return f"{way.name}, {p_text(p, self.alpha)}"
        if isinstance(effect, FactorTrend) and self.trend(effect, way.cells).value * self.trend(effect).value < 0.0:
            return f"{way.name}, the trend has the other sign"
        return ""

    @property
    def tests(self) -> int:
        """Return the number of tests of main effects, trends and interactions."""
        return len(self.raw_p) - len(self.axes_of_trends)

    @cached_property
    def caveats(self) -> list[str]:
        """Return the limitations of all claims of this sweep."""
        interim = f"interim: {counted(self.pending, self.words.run)} of {len(self.data.runs)} still to come"
        uneven = [
            f"{factor_label(self.design.factors[axis])} varies between blocks and is tested against that variation"
            for axis in self.cells.uneven
        ]
        alike = ["runs that share a seed are correlated; declare the seed as a block"] if self.means_of_seeds else []
        doubted = [*alike, *([f"intervals of level means are left out: {self.mean_doubt}"] if self.mean_doubt else [])]
        biased = [
            f"failure rates may differ between levels of {factor_label(factor)}: finished runs get no intervals"
            for factor in sorted(self.unequal_failures)
        ]
        interim_or_not = [interim] if self.pending else []
        return [*interim_or_not, *self.design.notes, *uneven, *doubted, *biased, *survivor_caveat(self.data)]

    @cached_property
    def means_of_seeds(self) -> Cells | None:
        """Return the cells with seeds as blocks if seeds are not declared as blocks, but runs that share one correlate.

        Comparisons use the declared analysis, but the mean over cells that share seeds has a larger variance.
        """
        shared = self.cells.independent and not self.cells.pooled and self.data.type != "table"
        if not shared or len(self.cells.means) < 2:
            return None
        seeded = [replace(o, cluster=f"seed {o.run.replicate}") for o in self.design.observations]
        found = self.design.cells_of(seeded, self.cells.unit)
        return found if found is not None and blocks_matter(found) < ALIKE else None

    @cached_property
    def mean_doubt(self) -> str:
        """Return why t intervals of level means may undercover; empty if there is no sign of it."""
        values, cell = self.design.values, self.design.own_cells
        largest = max((len(self.levels_of(factor)) for factor in self.parameters), default=1)
        return doubt(values, cell, len(values) // largest) if self.design.replicates[0] >= 2 else ""

    @cached_property
    def pending(self) -> int:
        """Return the number of runs without a result yet."""
        return sum(run.pending for run in self.data.runs)


def run_tests(data: ExperimentData, design: Factorial, cells: Cells) -> SweepTests:
    """Run the two pre-declared families of tests: main effects, and two-way interactions."""
    parameters = [factor for factor in design.factors if factor != SYSTEM]
    position = {factor: k for k, factor in enumerate(design.factors)}
    pairs: list[tuple[str, str]] = []
    if design.replicates[0] >= 2:
        pairs = [
            (design.factors[a], design.factors[b])
            for a, b in combinations(range(len(design.factors)), 2)
            if design.incomplete is None or design.incomplete.estimable(a, b)
        ]
    axes = _axes_of_trends(data, design)
    raw = _raw(cells, design, pairs, axes)
    adjusted = _adjusted(raw, data)
    for_new = cells_for_new_cases(design, cells)
    only_these: set[Effect] = set()
    if for_new is not None:
        alpha, new = data.analysis.alpha, _adjusted(_raw(for_new, design, pairs, axes), data)
        only_these = {effect for effect in adjusted if adjusted[effect] < alpha <= new[effect]}
    over_table = dict(zip(raw, effects.holm(list(raw.values())), strict=True))
    return SweepTests(
        data=data,
        design=design,
        cells=cells,
        tables={factor: _level_table(cells, position[factor], data.analysis.alpha) for factor in parameters},
        main_p={effect: p for effect, p in adjusted.items() if isinstance(effect, str)},
        interaction_p={effect: p for effect, p in adjusted.items() if isinstance(effect, tuple)},
        raw_p=raw | {f: min(1.0, len(SHAPES) * min(raw[FactorTrend(f, shape)] for shape in SHAPES)) for f in axes},
        table_p=_with_factors(over_table),
        other=Robustness(data, design),
        only_these_cases=frozenset(only_these),
        axes_of_trends=axes,
        trend_p={effect: p for effect, p in adjusted.items() if isinstance(effect, FactorTrend)},
    )


def _axes_of_trends(data: ExperimentData, design: Factorial) -> dict[str, Axis]:
    """Return the axes of the declared trends whose factors have enough levels left."""
    return {
        factor: axis_of([float(level) for level in tried if isinstance(level, int | float)])
        for factor, tried in zip(design.factors, design.levels, strict=True)
        if data.analysis.has_trend(factor, tried)
    }


def _raw(
    cells: Cells, design: Factorial, pairs: Sequence[tuple[str, str]], axes: Mapping[str, Axis]
) -> dict[Effect, float]:
    """Return the unadjusted p-values of all tests; a factor with an axis is tested for trends."""
    tested: list[Effect] = []
    for factor in design.factors:
        if factor in axes:
            tested += [FactorTrend(factor, shape) for shape in SHAPES]
        elif factor != SYSTEM:
            tested.append(factor)
    return {effect: _p_of(cells, design, effect, axes) for effect in (*tested, *pairs)}


def _p_of(cells: Cells, design: Factorial, effect: Effect, axes: Mapping[str, Axis]) -> float:
    """Return the unadjusted p-value of an effect; of a factor with trends, by Bonferroni's correction for both."""
    position = design.factors.index
    if isinstance(effect, FactorTrend):
        contrast = trend(cells, position(effect.factor), axes[effect.factor], effect.shape)
        return levels.t_comparison(contrast, 1, 0.05).p_adjusted if contrast.estimable else 1.0
    if isinstance(effect, str) and effect in axes:
        by_shape = [_p_of(cells, design, FactorTrend(effect, shape), axes) for shape in SHAPES]
        return min(1.0, len(by_shape) * min(by_shape))
    factors = (effect,) if isinstance(effect, str) else effect
    return effects.anova_type_test(cells, tuple(map(position, factors))).p


def _adjusted(raw: Mapping[Effect, float], data: ExperimentData) -> dict[Effect, float]:
    """Return the adjusted p-values of all effects: interactions over all pairs, the others within their families."""
    pairs = {effect: p for effect, p in raw.items() if isinstance(effect, tuple)}
    single: dict[Effect, float] = {effect: p for effect, p in raw.items() if not isinstance(effect, tuple)}
    families = [
        [effect for factor in family for effect in single if effect == factor or _is_trend_of(effect, factor)]
        for family in data.analysis.families
    ]
    both = dict(zip(pairs, effects.holm(list(pairs.values())), strict=True))
    return _with_factors(holm_by_family(single, families)) | both


def _is_trend_of(effect: Effect, factor: str) -> bool:
    return isinstance(effect, FactorTrend) and effect.factor == factor


def _with_factors(p_values: Mapping[Effect, float]) -> dict[Effect, float]:
    """Add the p-value of every factor with trends: the smaller of the two, both corrected."""
    found = dict(p_values)
    for effect, p in p_values.items():
        if isinstance(effect, FactorTrend):
            found[effect.factor] = min(p, found.get(effect.factor, math.inf))
    return found


def holm_by_family(p_values: Mapping[Key, float], families: Sequence[Sequence[Key]]) -> dict[Key, float]:
    """Apply Holm's correction within each family; tests without a family form another one."""
    assigned = {test for family in families for test in family}
    rest = [test for test in p_values if test not in assigned]
    adjusted: dict[Key, float] = {}
    for family in (*families, rest):
        tested = [test for test in family if test in p_values and test not in adjusted]
        adjusted |= zip(tested, effects.holm([p_values[test] for test in tested]), strict=True)
    return {test: adjusted[test] for test in p_values}


def _level_table(cells: Cells, factor: int, alpha: float) -> LevelTable:
    weights = cells.marginal_weights(factor)
    means = weights @ cells.means
    return LevelTable(weights, means, levels.best_set(cells, weights, alpha))


def two_level_difference(sweep: SweepTests, factor: str) -> levels.Comparison | None:
    """Compare the worse with the better level of a factor with two levels; None if not estimable.

    The interval inverts the adjusted test of the main effect.
    """
    table, axis = sweep.tables[factor], sweep.position(factor)
    best, worst = table.ranked[0], table.ranked[-1]
    contrast = sweep.cells.contrast(table.weights[worst] - table.weights[best])
    if not contrast.estimable:
        return None
    df = effects.anova_type_test(sweep.cells, (axis,)).df_error
    return inverted(replace(contrast, df=df), sweep.main_p[factor], sweep.alpha)


def method_of(sweep: SweepTests, factor: str) -> str:
    """Return the name of the test of a main effect."""
    if factor in sweep.axes_of_trends:
        return TRENDS
    return ATS if sweep.design.replicates[0] >= 2 else INTERACTION_ERROR
