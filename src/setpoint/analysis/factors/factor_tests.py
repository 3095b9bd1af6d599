"""The pre-declared tests of a factorial, which several claims share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float

from setpoint.analysis.data.design import SYSTEM, Factorial
from setpoint.analysis.data.experiment import ExperimentData, Level, Words
from setpoint.analysis.factors.case_variance import cells_for_new_cases
from setpoint.analysis.runs.reliability import failure_rates_p, survivor_caveat
from setpoint.analysis.runs.robustness import CLEARLY, NEAR, VERY_NEAR, Analysis, Robustness
from setpoint.analysis.statistics import effects, levels
from setpoint.analysis.statistics.blocks import blocks_matter
from setpoint.analysis.statistics.cells import Cells
from setpoint.analysis.statistics.family import inverted
from setpoint.analysis.statistics.symmetry import doubt
from setpoint.formatting import counted, factor_label, listed, p_text

ATS = "mean-based ANOVA-type statistic with Box approximation"
INTERACTION_ERROR = "F test against the interactions' mean square"
ALIKE = 0.1
"""Significance level at which runs that share a seed are treated as correlated."""
Effect = str | tuple[str, str]
"""A factor, or a pair of interacting factors."""


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

    def axes(self, effect: Effect) -> tuple[int, ...]:
        """Return the axes of the cells that an effect belongs to."""
        return tuple(self.position(factor) for factor in ((effect,) if isinstance(effect, str) else effect))

    def adjusted_p(self, effect: Effect) -> float:
        """Return the p-value of an effect, adjusted within its family."""
        return self.main_p[effect] if isinstance(effect, str) else self.interaction_p[effect]

    def doubts(self, effect: Effect) -> list[str]:
        """Return the reasons why a significant effect is not supported, most serious first; empty if there are none."""
        adjusted = self.adjusted_p(effect)
        if adjusted >= self.alpha:
            return []
        factor = self._correction(effect)
        found = self.failure_doubts(effect)
        if self.table_p[effect] >= self.alpha:
            found.append(f"{p_text(self.table_p[effect], self.alpha)} after Holm over all {len(self.raw_p)} effects")
        strict = adjusted >= self.alpha / VERY_NEAR or not isinstance(effect, str)
        if self.other.other_scale is not None:
            found.append(self._unconfirmed(self.other.other_scale, effect, factor, at=1.0 if strict else CLEARLY))
        exact = self.other.exact if adjusted >= self.alpha / NEAR else None
        if exact is not None and exact.least * factor < self.alpha <= exact.p * factor:
            found.append(f"an exact test gives {p_text(min(1.0, exact.p * factor), self.alpha)}")
        if isinstance(effect, str) and effect in self.design.aliases:
            found.append(f"aliased with {listed(self.design.aliases[effect])}")
        if effect in self.only_these_cases:
            found.append("shown for these cases only: with new cases it may not hold")
        return [text for text in found if text]

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
        """Return the parameters whose levels fail at significantly different rates (unadjusted)."""
        rates = {factor: failure_rates_p(self.data, factor) for factor in self.parameters}
        return frozenset(factor for factor, p in rates.items() if p < self.alpha)

    def biased_by_failures(self, factor: str) -> bool:
        """Return whether the means of finished runs are no fair comparison of the levels, so have no intervals."""
        return bool(self.failure_doubts(factor)) or factor in self.unequal_failures

    def _correction(self, effect: Effect) -> float:
        """Return the factor by which the correction multiplied an effect's p-value."""
        return self.adjusted_p(effect) / self.raw_p[effect] if self.raw_p[effect] > 0.0 else 1.0

    def _unconfirmed(self, way: Analysis, effect: Effect, factor: float, at: float = 1.0) -> str:
        """Return a note if another analysis does not find an effect at `at` × alpha, with the same correction."""
        p = min(1.0, factor * effects.anova_type_test(way.cells, self.axes(effect)).p)
        return f"{way.name}, {p_text(p, self.alpha)}" if p >= at * self.alpha else ""

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
            f"failure rates differ between levels of {factor_label(factor)}: intervals of finished runs are left out"
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
    raw = _raw(cells, design, pairs)
    main, both = _adjusted(raw, data)
    for_new = cells_for_new_cases(design, cells)
    only_these: set[Effect] = set()
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
        table_p=dict(zip(raw, effects.holm(list(raw.values())), strict=True)),
        other=Robustness(data, design),
        only_these_cases=frozenset(only_these),
    )


def _raw(cells: Cells, design: Factorial, pairs: Sequence[tuple[str, str]]) -> dict[Effect, float]:
    """Return the unadjusted p-values of main effects and interactions."""
    position = {factor: k for k, factor in enumerate(design.factors)}
    found: dict[Effect, float] = {f: effects.anova_type_test(cells, (k,)).p for f, k in position.items() if f != SYSTEM}
    return found | {(a, b): effects.anova_type_test(cells, (position[a], position[b])).p for a, b in pairs}


def _adjusted(
    raw: Mapping[Effect, float], data: ExperimentData
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Return the adjusted p-values of main effects and of interactions."""
    pairs = {effect: p for effect, p in raw.items() if isinstance(effect, tuple)}
    both = effects.holm(list(pairs.values()))
    single = {effect: p for effect, p in raw.items() if isinstance(effect, str)}
    return holm_by_family(single, data.analysis.families), dict(zip(pairs, both, strict=True))


def holm_by_family(p_values: Mapping[str, float], families: Sequence[Sequence[str]]) -> dict[str, float]:
    """Apply Holm's correction within each family; factors without a family form another one."""
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


def method_of(sweep: SweepTests) -> str:
    """Return the name of the test of main effects."""
    return ATS if sweep.design.replicates[0] >= 2 else INTERACTION_ERROR
