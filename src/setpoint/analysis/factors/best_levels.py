"""The best level of each parameter: the set of near-best levels, and the gain of the observed best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status
from setpoint.analysis.data.evidence import Interval, LevelEvidence, Sensitivity
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.factors.claim_builder import Finding, build_claim, level_heading, no_level_claim
from setpoint.analysis.factors.factor_tests import SweepTests, two_level_difference
from setpoint.analysis.factors.interactions import best_by, best_for_each
from setpoint.analysis.factors.sensitivity import changes, sensitivity
from setpoint.analysis.statistics import levels
from setpoint.analysis.statistics.intervals import mean_interval
from setpoint.formatting import (
    factor_label,
    interval_text,
    level_text,
    listed,
    number_text,
    p_text,
    percent_interval_text,
    percent_text,
)

_NO_SPREAD = Obstacle(Status.NOT_TESTABLE, "the metric does not vary within levels: no variance estimate")
_TOO_FEW = Obstacle(Status.NOT_TESTABLE, "two observations per level are too few to estimate its variance")


@dataclass(frozen=True)
class _Verdict:
    """Near-best levels, the gain of the observed best over the mean of the others, and one p-value.

    Attributes:
        best: position of the observed best level.
        possible: positions of the near-best levels; all levels if the parameter has no significant effect.
        gain: the observed best minus the mean of the others, on the analysis scale, with its interval.
        p: the largest of the p-values that naming the level needs: of every rival, the gain, and the main effect.
        rivals: p-value against every other level, by position.
    """

    best: int
    possible: list[int]
    gain: levels.Comparison
    p: float
    rivals: Mapping[int, float]


def _verdict(sweep: SweepTests, factor: str) -> _Verdict | Obstacle:
    """Return the verdict; with two levels, the main effect is the same comparison."""
    table, best = sweep.tables[factor], sweep.tables[factor].ranked[0]
    main = sweep.main_p[factor]
    if len(table.means) == 2:
        pair = two_level_difference(sweep, factor)
        if pair is None:
            return _NO_SPREAD
        possible = [best] if main < sweep.alpha else sorted(table.ranked)
        gain = levels.Comparison(-pair.value, (-pair.interval[1], -pair.interval[0]), main)
        return _Verdict(best, possible, gain, main, {1 - best: main})
    mean_gain, lead = levels.each_against_rest(sweep.cells, table.weights, sweep.alpha)[best], table.best.lead
    if lead is None:
        return _NO_SPREAD
    if mean_gain is None:
        return _TOO_FEW
    rivals = {level: pair.p_adjusted for level, pair in table.best.against_best.items() if pair is not None}
    p = max(lead.p_adjusted, mean_gain.p_adjusted, main)
    possible = table.best.members if main < sweep.alpha else sorted(table.ranked)
    return _Verdict(best, possible, mean_gain, p, rivals)


def level_claim(sweep: SweepTests, factor: str) -> Claim:
    """Make the claim about the best level of a factor."""
    found = _verdict(sweep, factor)
    if isinstance(found, Obstacle):
        return no_level_claim(sweep.design, factor, found)
    names = [level_text(level) for level in sweep.levels_of(factor)]
    best = found.best
    scale = sweep.design.scale
    other_ways = sensitivity(sweep, factor)
    finding = Finding(
        kind=ClaimKind.OPTIMAL_LEVEL,
        subject=OneFactor(factor),
        heading=level_heading(factor),
        answer=names[best],
        observed=f"{names[best]} observed best",
        facts=_facts(sweep, factor, found, other_ways),
        verdict=_status(sweep, factor, found),
        weakened_by=_weaknesses(sweep, factor, found, other_ways),
        method="best level: Welch t against every other level (multiple comparisons with the best, Bonferroni), and a "
        "significant main effect; gain over the others: t with Bonferroni's correction",
        estimate=scale.improvement(found.gain.value),
        estimate_of=f"improvement of the observed best over the {_mean_name(sweep)} of the other levels",
        interval=_interval(sweep, factor, found),
        p_adjusted=found.p,
        evidence=LevelEvidence(
            observed_best=sweep.levels_of(factor)[best],
            possibly_best=tuple(sweep.levels_of(factor)[i] for i in found.possible),
            p_against_others={names[level]: p for level, p in found.rivals.items()},
            sensitivity=other_ways,
            level_means={
                name: scale.natural(float(mean)) for name, mean in zip(names, sweep.tables[factor].means, strict=True)
            },
            level_intervals=_level_intervals(sweep, factor, names),
        ),
    )
    return build_claim(sweep, finding)


def _mean_name(sweep: SweepTests) -> str:
    return "geometric mean" if sweep.design.scale.logarithmic else "mean"


def _interval(sweep: SweepTests, factor: str, found: _Verdict) -> Interval | None:
    """Return the interval of the improvement; None if failed runs cast doubt on it, because it excludes them."""
    return None if sweep.biased_by_failures(factor) else sweep.design.scale.improvement_interval(found.gain.interval)


def _facts(sweep: SweepTests, factor: str, found: _Verdict, other_ways: Sensitivity) -> str:
    """Return gain and p-value as text; the significance comes first for parameters other than the LoRA rank."""
    names = [level_text(level) for level in sweep.levels_of(factor)]
    scale = sweep.design.scale
    improvement, reach = scale.improvement(found.gain.value), _interval(sweep, factor, found)
    size = percent_text(improvement) if scale.logarithmic else number_text(improvement)
    if reach is not None:
        size += f" {(percent_interval_text if scale.logarithmic else interval_text)(*reach)}"
    others = names[1 - found.best] if len(names) == 2 else f"the {_mean_name(sweep)} of the others"
    gained = f"avg improvement: {size} over {others}"
    facts = [gained, p_text(found.p, sweep.alpha)]
    if factor.rpartition(".")[2] != "lora_rank":
        level = f"statistical significance: p<{number_text(sweep.alpha)}"
        exact = p_text(found.p, sweep.alpha)
        facts = [level if exact == f"p<{number_text(sweep.alpha)}" else f"{level}, {exact}", gained]
        facts = facts if found.p < sweep.alpha else [exact, gained]
    facts.append(_edge(sweep.levels_of(factor), found.best))
    facts.append(
        changes(other_ways, sweep.levels_of(factor)[found.best], sweep.words.replicate, decided=found.p < sweep.alpha)
    )
    return ", ".join(text for text in facts if text)


def _status(sweep: SweepTests, factor: str, found: _Verdict) -> tuple[Status, str]:
    """Return whether the best level is significantly better than all others, and why."""
    if found.p < sweep.alpha:
        return Status.SUPPORTED, "better than every other level tried"
    names = [level_text(level) for level in sweep.levels_of(factor)]
    if len(found.possible) == 1:
        return Status.SUGGESTIVE, "better than each other level, but its gain over their mean is not significant"
    rivals = [names[i] for i in found.possible if i != found.best]
    return Status.UNRESOLVED, f"not distinguishable from {listed(rivals)}"


def _edge(tried: Sequence[Level], best: int) -> str:
    """Return a note if the best of at least three numeric levels is the smallest or the largest tried."""
    numbers = [level for level in tried if isinstance(level, int | float) and not isinstance(level, bool)]
    if len(numbers) < max(3, len(tried)):
        return ""
    return {min(numbers): "the smallest tried", max(numbers): "the largest tried"}.get(numbers[best], "")


def _level_intervals(sweep: SweepTests, factor: str, names: Sequence[str]) -> dict[str, Interval]:
    """Return the individual interval of each level's mean, in the metric's unit; empty if the values are too skewed."""
    found: dict[str, Interval] = {}
    if sweep.mean_doubt or factor in sweep.unequal_failures:
        return found
    for name, weights in zip(names, sweep.tables[factor].weights, strict=True):
        mean = (sweep.means_of_seeds or sweep.cells).mean_of(weights)
        if mean.estimable:
            ends = mean_interval(mean.value, mean.standard_error, mean.df, sweep.alpha)
            low, high = sorted(sweep.design.scale.natural(end) for end in ends)
            found[name] = low, high
    return found


def _weaknesses(sweep: SweepTests, factor: str, found: _Verdict, other_ways: Sensitivity) -> list[str]:
    """Return the reasons why a significant best level is not a recommendation, most serious first."""
    weaknesses = [*sweep.doubts(factor), *_otherwise(sweep, factor, found)]
    weaknesses += [
        f"{level_text(level)} could not be compared: too few of its {sweep.words.run}s have a result"
        for name, level in sweep.design.dropped
        if name == factor
    ]
    for other in sweep.interacting(factor):
        same = len(set(best_for_each(sweep, factor, other))) == 1
        what = "the size of its effect" if same else f"the best {factor_label(factor)}"
        weaknesses.append(f"{what} depends on {other} (observed best {best_by(sweep, factor, other)})")
    return weaknesses


def _otherwise(sweep: SweepTests, factor: str, found: _Verdict) -> list[str]:
    """Return the analyses that have another best level, or do not distinguish it from the others."""
    if found.p >= sweep.alpha:
        return []
    names = [level_text(level) for level in sweep.levels_of(factor)]
    weights, told = sweep.tables[factor].weights, []
    scales = [] if sweep.other.other_scale is None else [sweep.other.other_scale]
    for way in (*sweep.other.failures, *scales):
        there = levels.best_set(way.cells, weights, sweep.alpha)
        if there.ranked[0] != found.best:
            told.append(f"{way.name}, {names[there.ranked[0]]} is best")
        elif len(names) > 2 and len(there.members) > 1 and way not in scales:
            rivals = listed([names[level] for level in there.members if level != found.best])
            told.append(f"{way.name}, it is not distinguishable from {rivals}")
    return told
