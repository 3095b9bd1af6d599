"""What a hyper-parameter sweep shows: which parameter matters most, which levels are best, and what stays open.

Every claim is about the training procedure: the unit is the trained run, the metric the plan's primary one, and the
tests are those that were fixed before the results. Levels are compared on their means over all other parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint.analysis import effects, levels
from setpoint.analysis.cells import Cells
from setpoint.analysis.claims import Claim, Status
from setpoint.analysis.design import SYSTEM, Factorial, Obstacle, factorial, ratio, run_value
from setpoint.analysis.experiment import ExperimentData, Level
from setpoint.analysis.improvement import improvement_claims
from setpoint.analysis.intervals import detectable_difference, pooled_deviation
from setpoint.analysis.reliability import failure_claims, survivor_caveat, worst_rank_best
from setpoint.analysis.wording import (
    counted,
    factor_label,
    interval_text,
    level_text,
    listed,
    number_text,
    p_text,
    percent_interval_text,
    percent_text,
)
from setpoint.fingerprint import digest
from setpoint.seeding import generator

NAMING_PROBABILITY = 0.975
"""A parameter is named the most impactful only with this bootstrap probability; an exact tie then wins in about 5 %."""

ATS = "mean-based ANOVA-type statistic with Box approximation"
INTERACTION_ERROR = "F test against the interactions' mean square"


@dataclass(frozen=True)
class _LevelTable:
    """The levels of one parameter.

    Attributes:
        weights: rows that average the cells of each level.
        means: of the levels, on the analysed scale.
        ranked: positions of the levels, the best observed first.
        against_best: every other level minus the best observed one.
    """

    weights: Float[np.ndarray, "levels C"]
    means: Float[np.ndarray, "levels"]
    ranked: list[int]
    against_best: Mapping[int, levels.Comparison | None]


@dataclass(frozen=True)
class _Sweep:
    """A factorial that can be analysed, with the tests that several claims share."""

    data: ExperimentData
    design: Factorial
    cells: Cells
    tables: Mapping[str, _LevelTable]
    main_p: Mapping[str, float]
    interaction_p: Mapping[tuple[str, str], float]

    @property
    def parameters(self) -> list[str]:
        return [factor for factor in self.design.factors if factor != SYSTEM]

    @property
    def alpha(self) -> float:
        return self.data.analysis.alpha

    @property
    def seeds(self) -> str:
        low, high = self.design.replicates
        return counted(high, "seed") if low == high else f"{low} to {high} seeds"

    def position(self, factor: str) -> int:
        return self.design.factors.index(factor)

    def levels_of(self, factor: str) -> tuple[Level, ...]:
        return self.design.levels[self.position(factor)]

    def interacting(self, factor: str) -> list[str]:
        """Parameters whose interaction with `factor` is supported."""
        pairs = [pair for pair, p in self.interaction_p.items() if factor in pair and p < self.alpha]
        return [second if first == factor else first for first, second in pairs]

    def caveats(self) -> list[str]:
        """What keeps any claim of this sweep from being final."""
        pending = sum(run.pending for run in self.data.runs)
        interim = f"interim: {counted(pending, 'run')} of {len(self.data.runs)} still to come"
        return [*([interim] if pending else []), *self.design.notes, *survivor_caveat(self.data)]

    @property
    def unfinished(self) -> bool:
        return any(run.pending for run in self.data.runs)


def sweep_claims(data: ExperimentData) -> list[Claim]:
    """All claims of a sweep, in the order of a report. The plan's `analysis` block says what is tested."""
    design = factorial(data, data.analysis.primary_metric)
    if isinstance(design.cells, Obstacle):
        claims = _refusals(data, design, design.cells)
    else:
        sweep = _tested(data, design, design.cells)
        claims = [
            _most_impactful(sweep),
            *(_level_claim(sweep, factor) for factor in sweep.parameters),
            *_dropped_factor_claims(data, design),
            *(_main_effect(sweep, factor) for factor in sweep.parameters),
            *_interactions(sweep),
            _resolution(sweep),
        ]
    return [*claims, *improvement_claims(data), *failure_claims(data)]


def level_heading(factor: str) -> str:
    """The heading of the claim about the best level of `factor`."""
    bare = factor.rpartition(".")[2]
    return f"{'Optimal' if bare == 'lora_rank' else 'Best'} {factor_label(factor)}"


def _tested(data: ExperimentData, design: Factorial, cells: Cells) -> _Sweep:
    """Run the two pre-declared families of tests: main effects, and two-way interactions."""
    parameters = [factor for factor in design.factors if factor != SYSTEM]
    position = {factor: k for k, factor in enumerate(design.factors)}
    main = effects.holm([effects.anova_type_test(cells, (position[factor],)).p for factor in parameters])
    pairs: list[tuple[str, str]] = []
    if design.replicates[0] >= 2:
        pairs = list(combinations(design.factors, 2))
    both = effects.holm([effects.anova_type_test(cells, (position[a], position[b])).p for a, b in pairs])
    return _Sweep(
        data=data,
        design=design,
        cells=cells,
        tables={factor: _level_table(cells, position[factor], data.analysis.alpha) for factor in parameters},
        main_p=dict(zip(parameters, main, strict=True)),
        interaction_p=dict(zip(pairs, both, strict=True)),
    )


def _level_table(cells: Cells, factor: int, alpha: float) -> _LevelTable:
    weights = cells.marginal_weights(factor)
    means = weights @ cells.means
    ranked = levels.order(means)
    return _LevelTable(weights, means, ranked, levels.against(cells, weights, ranked[0], alpha))


def _refusals(data: ExperimentData, design: Factorial, obstacle: Obstacle) -> list[Claim]:
    """The claims that would be made, each with the reason why it is not."""
    swept = [f for f in data.analysis.factors if len({run.level(f) for run in data.runs}) >= 2]
    wanted = [("most_impactful", "Most impactful parameter")]
    wanted += [(f"optimal_level:{factor}", level_heading(factor)) for factor in swept]
    return [_not_made(data, claim, heading, obstacle, len(design.runs)) for claim, heading in wanted]


def _dropped_factor_claims(data: ExperimentData, design: Factorial) -> list[Claim]:
    """Claims about swept parameters of which fewer than two levels are left."""
    reason = f"fewer than two levels have enough finished runs ({'; '.join(design.notes)})"
    swept = [f for f in data.analysis.factors if len({run.level(f) for run in data.runs}) >= 2]
    return [
        _not_made(
            data,
            f"optimal_level:{factor}",
            level_heading(factor),
            Obstacle(Status.NOT_TESTABLE, reason),
            len(design.runs),
        )
        for factor in swept
        if factor not in design.factors
    ]


def _not_made(data: ExperimentData, claim: str, heading: str, obstacle: Obstacle, n_runs: int) -> Claim:
    observed = _observed_best(data, claim.partition(":")[2]) if n_runs and ":" in claim else ""
    return Claim(
        id=claim,
        heading=heading,
        statement=f"not resolved: {observed}{obstacle.reason}",
        status=obstacle.status,
        reason=obstacle.reason,
        method="none",
        n_runs=n_runs,
    )


def _observed_best(data: ExperimentData, factor: str) -> str:
    """`8 observed best, ` where runs allow to say so much."""
    design = factorial(data, data.analysis.primary_metric)
    by_level: dict[Level, list[float]] = {}
    for run in design.runs:
        value = run_value(run, design.scale)
        if value is not None:
            by_level.setdefault(run.level(factor), []).append(value)
    if len(by_level) < 2:
        return ""
    best = min(by_level, key=lambda level: float(np.mean(by_level[level])))
    return f"{level_text(best)} observed best, but "


def _judged(
    sweep: _Sweep,
    *,
    claim: str,
    heading: str,
    answer: str,
    observed: str,
    facts: str,
    verdict: tuple[Status, str],
    weakened_by: Sequence[str] = (),
    **numbers: Any,
) -> Claim:
    """Compose a claim whose statement agrees with its status."""
    status, reason = verdict
    if sweep.unfinished:
        weakened_by = (sweep.caveats()[0], *weakened_by)
    if status is Status.SUPPORTED and weakened_by:
        status, reason = Status.SUGGESTIVE, "; ".join(weakened_by)
    elif weakened_by:
        reason = "; ".join([reason, *weakened_by])
    facts = f"{facts}, {sweep.seeds} per configuration"
    statement = f"{answer} ({facts})" if status is Status.SUPPORTED else f"not resolved: {observed} ({facts}); {reason}"
    details = {**numbers.pop("details", {}), "caveats": sweep.caveats()}
    return Claim(
        id=claim,
        heading=heading,
        statement=statement,
        status=status,
        reason=reason,
        n_runs=sweep.cells.n_runs,
        details=details,
        **numbers,
    )


def _most_impactful(sweep: _Sweep) -> Claim:
    """Named only if its main effect is significant and it has the largest variance component almost surely."""
    mains = [(sweep.position(factor),) for factor in sweep.parameters]
    rng = generator("most_impactful", digest([sweep.cells.means.tolist(), sweep.cells.covariance.tolist()]))
    components = effects.variance_components(sweep.cells, mains)
    top = effects.probability_of_largest(sweep.cells, mains, rng)
    best = int(np.argmax(components))
    factor = sweep.parameters[best]
    p, p_top = sweep.main_p[factor], float(top[best])
    spread = _spread(sweep, factor)
    interacting = sweep.interacting(factor)
    if p >= sweep.alpha:
        verdict = Status.UNRESOLVED, "no parameter's effect is told apart from the spread between seeds"
        if min(sweep.main_p.values()) < sweep.alpha:
            verdict = Status.UNRESOLVED, "the parameter with the largest observed effect is not the significant one"
    elif p_top < NAMING_PROBABILITY:
        verdict = Status.SUGGESTIVE, f"it matters, but may not be the one that matters most (P(top)={p_top:.2f})"
    else:
        verdict = Status.SUPPORTED, f"significant main effect and P(top)={p_top:.3f}"
    together = f", whose effect depends on {listed(interacting)}" if interacting else ""
    facts = [spread.text, p_text(p) + " after Holm", f"P(top)={p_top:.2f}"]
    return _judged(
        sweep,
        claim="most_impactful",
        heading="Most impactful parameter",
        answer=f"{factor}{together}",
        observed=f"{factor} has the largest observed effect",
        facts=", ".join(text for text in facts if text),
        verdict=verdict,
        method=f"{_method(sweep)}, Holm over the parameters; bootstrap of bias-corrected variance components",
        estimate=spread.value,
        interval=spread.interval,
        p_adjusted=p,
        details={
            "parameter": factor,
            "estimate_of": "difference between the worst and the best level, on the analysed scale",
            "probability_of_largest": dict(zip(sweep.parameters, top.tolist(), strict=True)),
            "variance_components": dict(zip(sweep.parameters, components.tolist(), strict=True)),
        },
    )


@dataclass(frozen=True)
class _Spread:
    """The largest observed difference between two levels, on the analysed scale and in words."""

    value: float | None = None
    interval: tuple[float, float] | None = None
    text: str = ""


def _spread(sweep: _Sweep, factor: str) -> _Spread:
    """Worst against best level of a factor with an interval that is simultaneous over all pairs of levels."""
    table = sweep.tables[factor]
    compared = table.against_best.get(table.ranked[-1])
    if compared is None:
        return _Spread()
    value, (low, high) = compared.value, compared.interval
    if sweep.design.scale.logarithmic:
        text = f"worst/best level ×{number_text(ratio(value))} {interval_text(ratio(low), ratio(high))}"
    else:
        text = f"worst to best level {number_text(value)} {interval_text(low, high)}"
    return _Spread(value, (low, high), text)


def _level_claim(sweep: _Sweep, factor: str) -> Claim:
    """The best level of a factor: the set that may be best, and the gain of the observed best over the others."""
    table = sweep.tables[factor]
    names = [level_text(level) for level in sweep.levels_of(factor)]
    best = table.ranked[0]
    tied = levels.possibly_best(sweep.cells, table.weights, sweep.alpha)
    gain = levels.each_against_rest(sweep.cells, table.weights, sweep.alpha)[best]
    pairs = {names[level]: pair for level, pair in table.against_best.items() if pair is not None}
    if gain is None or len(pairs) < len(names) - 1:
        obstacle = Obstacle(Status.NOT_TESTABLE, "the levels show no spread between seeds to judge by")
        return _not_made(sweep.data, f"optimal_level:{factor}", level_heading(factor), obstacle, sweep.cells.n_runs)
    p = max(pair.p_adjusted for pair in pairs.values())
    scale = sweep.design.scale
    improvement, reach = scale.improvement(gain.value), scale.improvement_interval(gain.interval)
    in_words = (percent_text(improvement), percent_interval_text(*reach))
    if not scale.logarithmic:
        in_words = (number_text(improvement), interval_text(*reach))
    by_rank = factor.rpartition(".")[2] == "lora_rank"
    separated = (tied == [best] and gain.p_adjusted < sweep.alpha) if by_rank else p < sweep.alpha
    others = [names[i] for i in tied if i != best]
    rivals = listed(others) or listed([name for i, name in enumerate(names) if i != best])
    verdict = (
        (Status.SUPPORTED, "better than every other level tried")
        if separated
        else (Status.UNRESOLVED, f"not distinguishable from {rivals}")
    )
    gained = f"avg improvement: {in_words[0]} {in_words[1]} against the mean of the others"
    significance = "statistical significance: p<" + number_text(sweep.alpha) if p < sweep.alpha else ""
    facts = [gained, p_text(p)] if by_rank else [significance, p_text(p) + " over all pairs", gained]
    return _judged(
        sweep,
        claim=f"optimal_level:{factor}",
        heading=level_heading(factor),
        answer=names[best],
        observed=f"{names[best]} observed best",
        facts=", ".join(text for text in facts if text),
        verdict=verdict,
        weakened_by=_level_caveats(sweep, factor, best),
        method="set of possibly best levels (Welch–Bonferroni MCB); Games–Howell over all pairs; "
        "each level against the geometric mean of the others (Bonferroni t)",
        estimate=improvement,
        interval=reach,
        p_adjusted=p,
        details={
            "parameter": factor,
            "observed_best": sweep.levels_of(factor)[best],
            "possibly_best": [sweep.levels_of(factor)[i] for i in tied],
            "estimate_of": "improvement of the observed best over the mean of the other levels",
            "p_against_others": {name: pair.p_adjusted for name, pair in pairs.items()},
            "level_means": {name: scale.natural(float(mean)) for name, mean in zip(names, table.means, strict=True)},
        },
    )


def _level_caveats(sweep: _Sweep, factor: str, best: int) -> list[str]:
    """What keeps the best level from being a recommendation although the test says so."""
    caveats = [
        f"{level_text(level)} could not be compared: too few of its runs finished"
        for name, level in sweep.design.dropped
        if name == factor
    ]
    for other in sweep.interacting(factor):
        caveats.append(f"the best {factor_label(factor)} depends on {other} ({_best_by(sweep, factor, other)})")
    by_rank = worst_rank_best(sweep.data, factor, sweep.design.scale)
    if by_rank is not None and by_rank != sweep.levels_of(factor)[best]:
        caveats.append(f"with failed runs ranked worst, {level_text(by_rank)} is best")
    return caveats


def _best_by(sweep: _Sweep, factor: str, other: str) -> str:
    """The observed best level of `factor` for each level of `other`."""
    table = sweep.cells.means.reshape(sweep.cells.shape)
    keep = tuple(sorted({sweep.position(factor), sweep.position(other)}))
    table = table.mean(axis=tuple(k for k in range(table.ndim) if k not in keep))
    rows = table if sweep.position(other) < sweep.position(factor) else table.T
    best = [level_text(sweep.levels_of(factor)[int(np.argmin(row))]) for row in rows]
    return ", ".join(
        f"{other} {level_text(level)}: {name}" for level, name in zip(sweep.levels_of(other), best, strict=True)
    )


def _main_effect(sweep: _Sweep, factor: str) -> Claim:
    """Whether a parameter changes the metric at all."""
    p = sweep.main_p[factor]
    spread = _spread(sweep, factor)
    significant = p < sweep.alpha
    return _judged(
        sweep,
        claim=f"main_effect:{factor}",
        heading=f"Effect of {factor_label(factor)}",
        answer="changes the result",
        observed="an effect is seen" if significant else "no effect shown",
        facts=", ".join(text for text in (spread.text, p_text(p) + " after Holm") if text),
        verdict=(Status.SUPPORTED, "significant main effect")
        if significant
        else (
            Status.UNRESOLVED,
            "not told apart from the spread between seeds, which does not show that there is none",
        ),
        method=f"{_method(sweep)}, Holm over the parameters",
        estimate=spread.value,
        interval=spread.interval,
        p_adjusted=p,
        details={"parameter": factor, "estimate_of": "difference between the worst and the best level"},
    )


def _interactions(sweep: _Sweep) -> list[Claim]:
    """Whether the effect of one parameter depends on another."""
    return [
        _judged(
            sweep,
            claim=f"interaction:{first}:{second}",
            heading=f"Interaction of {factor_label(first)} and {factor_label(second)}",
            answer=f"the effect of one depends on the other; best {factor_label(first)} by {second}: "
            f"{_best_by(sweep, first, second)}",
            observed="an interaction is seen" if p < sweep.alpha else "no interaction shown",
            facts=f"{p_text(p)} after Holm",
            verdict=(Status.SUPPORTED, "significant interaction")
            if p < sweep.alpha
            else (Status.UNRESOLVED, "not told apart from the spread between seeds"),
            method=f"{ATS}, Holm over the pairs",
            p_adjusted=p,
        )
        for (first, second), p in sweep.interaction_p.items()
    ]


def _resolution(sweep: _Sweep) -> Claim:
    """How large a difference between two levels this design could show, and how large with more seeds."""
    factor = sweep.parameters[0]
    low, _ = sweep.design.replicates
    count = len(sweep.levels_of(factor))
    cells_per_level = len(sweep.cells.means) // count
    comparisons = count * (count - 1) // 2
    deviation = _run_deviation(sweep)
    planned = sorted({max(low, 1), 3, 5, 10})
    smallest = {
        str(seeds): detectable_difference(deviation, seeds * cells_per_level, comparisons, sweep.alpha)
        for seeds in planned
        if seeds * cells_per_level >= 2
    }
    now = smallest.get(str(max(low, 1)))
    text = {seeds: _resolvable_text(sweep, value) for seeds, value in smallest.items()}
    return Claim(
        id="resolution",
        heading="Smallest difference that this design resolves",
        statement=f"{text[str(max(low, 1))]} between two levels of {factor} with {sweep.seeds} "
        f"({'; '.join(f'{seeds} seeds: {words}' for seeds, words in text.items() if seeds != str(max(low, 1)))})"
        if now is not None
        else "not resolved: a level has only one run",
        status=Status.SUPPORTED if now is not None else Status.NOT_TESTABLE,
        reason="from the observed spread between runs of one configuration, at 80 % power",
        method="two-sided t test with Bonferroni's correction over the pairs of levels, noncentral t power",
        n_runs=sweep.cells.n_runs,
        estimate=now,
        details={
            "estimate_of": "difference on the analysed scale",
            "run_deviation": deviation,
            "by_seeds": smallest,
            "in_words": text,
        },
    )


def _run_deviation(sweep: _Sweep) -> float:
    """The standard deviation of one run, pooled over the cells."""
    if sweep.design.replicates[0] < 2:
        return math.sqrt(float(sweep.cells.covariance[0, 0]))
    by_cell: dict[tuple[Level, ...], list[float]] = {}
    for run in sweep.design.runs:
        value = run_value(run, sweep.design.scale)
        if value is not None:
            by_cell.setdefault(tuple(run.level(factor) for factor in sweep.design.factors), []).append(value)
    return pooled_deviation(list(by_cell.values()))[0]


def _resolvable_text(sweep: _Sweep, difference: float) -> str:
    scale = sweep.design.scale
    return percent_text(1.0 - ratio(-difference)) if scale.logarithmic else number_text(difference)


def _method(sweep: _Sweep) -> str:
    return ATS if sweep.design.replicates[0] >= 2 else INTERACTION_ERROR
