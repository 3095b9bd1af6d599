"""The best level of each parameter: the set that may be best, and what the observed best gains."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status
from setpoint.analysis.data.evidence import Interval, LevelEvidence, Sensitivity
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.formatting import (
    factor_label,
    interval_text,
    level_text,
    listed,
    number_text,
    p_text,
    percent_interval_text,
    percent_text,
)
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.factors.claim_builder import Finding, judged, level_heading, no_level_claim
from setpoint.analysis.factors.factor_tests import Sweep
from setpoint.analysis.factors.interactions import best_by, best_for_each
from setpoint.analysis.factors.sensitivity import changes, sensitivity
from setpoint.analysis.statistics import levels
from setpoint.analysis.statistics.intervals import mean_interval


def level_claim(sweep: Sweep, factor: str) -> Claim:
    """The best level of a factor: the set that may be best, and the gain of the observed best over the others."""
    table = sweep.tables[factor]
    names = [level_text(level) for level in sweep.levels_of(factor)]
    best = table.ranked[0]
    gain = levels.each_against_rest(sweep.cells, table.weights, sweep.alpha)[best]
    pairs = {names[level]: pair for level, pair in table.against_best.items() if pair is not None}
    if gain is None or len(pairs) < len(names) - 1:
        obstacle = Obstacle(Status.NOT_TESTABLE, "the levels show no spread between seeds to judge by")
        return no_level_claim(sweep.design, factor, obstacle)
    p = max(pair.p_adjusted for pair in pairs.values())
    scale = sweep.design.scale
    improvement, reach = scale.improvement(gain.value), scale.improvement_interval(gain.interval)
    in_words = (percent_text(improvement), percent_interval_text(*reach))
    if not scale.logarithmic:
        in_words = (number_text(improvement), interval_text(*reach))
    other_ways = sensitivity(sweep, factor)
    gained = f"avg improvement: {in_words[0]} {in_words[1]} against the mean of the others"
    significance = "statistical significance: p<" + number_text(sweep.alpha) if p < sweep.alpha else ""
    facts = [gained, p_text(p)] if _by_rank(factor) else [significance, f"over all pairs {p_text(p)}", gained]
    facts.append(_edge(sweep.levels_of(factor), best))
    facts.append(changes(other_ways, sweep.levels_of(factor)[best]))
    found = Finding(
        kind=ClaimKind.OPTIMAL_LEVEL,
        subject=OneFactor(factor),
        heading=level_heading(factor),
        answer=names[best],
        observed=f"{names[best]} observed best",
        facts=", ".join(text for text in facts if text),
        verdict=_verdict(sweep, factor, p, gain),
        weakened_by=_level_caveats(sweep, factor, best, other_ways),
        method="set of possibly best levels (Welch–Bonferroni MCB); Games–Howell over all pairs; "
        "each level against the geometric mean of the others (Bonferroni t)",
        estimate=improvement,
        estimate_of="improvement of the observed best over the mean of the other levels",
        interval=reach,
        p_adjusted=p,
        evidence=LevelEvidence(
            observed_best=sweep.levels_of(factor)[best],
            possibly_best=tuple(sweep.levels_of(factor)[i] for i in table.possibly_best),
            p_against_others={name: pair.p_adjusted for name, pair in pairs.items()},
            sensitivity=other_ways,
            level_means={name: scale.natural(float(mean)) for name, mean in zip(names, table.means, strict=True)},
            level_intervals=_level_intervals(sweep, factor, names),
        ),
    )
    return judged(sweep, found)


def _by_rank(factor: str) -> bool:
    """Whether the factor is judged by its set of possibly best levels and its gain, as the LoRA rank is."""
    return factor.rpartition(".")[2] == "lora_rank"


def _verdict(sweep: Sweep, factor: str, p: float, gain: levels.Comparison) -> tuple[Status, str]:
    """Whether the best level is separated from the others (by `p` over all pairs), and survives all corrections."""
    table = sweep.tables[factor]
    best, tied = table.ranked[0], table.possibly_best
    separated = tied == [best] and gain.p_adjusted < sweep.alpha if _by_rank(factor) else p < sweep.alpha
    if separated and sweep.main_p[factor] < sweep.alpha:
        return Status.SUPPORTED, "better than every other level tried"
    if separated:
        reason = f"separated on its own, not after correction for all parameters ({p_text(sweep.main_p[factor])})"
        return Status.SUGGESTIVE, reason
    names = [level_text(level) for level in sweep.levels_of(factor)]
    rivals = [names[i] for i in tied if i != best] or [name for i, name in enumerate(names) if i != best]
    return Status.UNRESOLVED, f"not distinguishable from {listed(rivals)}"


def _edge(tried: Sequence[Level], best: int) -> str:
    """That the best of three numbers or more is the first or the last of them, beyond which nothing was tried."""
    numbers = [level for level in tried if isinstance(level, int | float) and not isinstance(level, bool)]
    if len(numbers) < max(3, len(tried)):
        return ""
    return {min(numbers): "the smallest tried", max(numbers): "the largest tried"}.get(numbers[best], "")


def _level_intervals(sweep: Sweep, factor: str, names: Sequence[str]) -> dict[str, Interval]:
    """The interval of each level's mean by itself, in the metric's unit."""
    found = {}
    for name, weights in zip(names, sweep.tables[factor].weights, strict=True):
        mean = sweep.cells.mean_of(weights)
        if mean.estimable:
            ends = mean_interval(mean.value, mean.standard_error, mean.df, sweep.alpha)
            low, high = sorted(sweep.design.scale.natural(end) for end in ends)
            found[name] = low, high
    return found


def _level_caveats(sweep: Sweep, factor: str, best: int, other_ways: Sensitivity) -> list[str]:
    """What keeps the best level from being a recommendation although the test says so."""
    caveats = [
        f"{level_text(level)} could not be compared: too few of its runs finished"
        for name, level in sweep.design.dropped
        if name == factor
    ]
    caveats += sweep.case_caveat(factor)
    for other in sweep.interacting(factor):
        same = len(set(best_for_each(sweep, factor, other))) == 1
        what = "the size of its effect" if same else f"the best {factor_label(factor)}"
        caveats.append(f"{what} depends on {other} (observed best {best_by(sweep, factor, other)})")
    by_rank = other_ways.failed_runs_ranked_worst
    if by_rank is not None and by_rank != sweep.levels_of(factor)[best]:
        caveats.append(f"with failed runs ranked worst, {level_text(by_rank)} is best")
    return caveats
