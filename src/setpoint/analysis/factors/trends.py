"""Trends of numeric parameters: does the metric rise or fall along the levels, and is the trend curved?"""

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Factorial, ratio
from setpoint.analysis.data.evidence import Interval, TrendEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.subject import FactorTrend
from setpoint.analysis.factors.claim_builder import Finding, build_claim
from setpoint.analysis.factors.factor_tests import TRENDS, SweepTests
from setpoint.analysis.statistics.family import inverted
from setpoint.analysis.statistics.trends import SHAPES, Shape
from setpoint.formatting import factor_label, interval_text, level_text, listed, number_text, p_text

HEADINGS: dict[Shape, str] = {"linear": "Linear trend of", "curvature": "Curvature of"}


def trend_claims(sweep: SweepTests) -> list[Claim]:
    """Return the claims about all trends that the plan declares."""
    found = []
    for factor in sweep.data.analysis.trends:
        for shape in SHAPES:
            effect = FactorTrend(factor, shape)
            found.append(_claim(sweep, effect) if factor in sweep.axes_of_trends else _too_few(sweep.design, effect))
    return found


def untested_trends(data: ExperimentData, design: Factorial, obstacle: Obstacle) -> list[Claim]:
    """Return the claims about all trends of a factorial that cannot be tested."""
    return [_unanswered(design, FactorTrend(factor, "linear"), obstacle) for factor in data.analysis.trends]


def _too_few(design: Factorial, effect: FactorTrend) -> Claim:
    others = design.aliases.get(effect.factor)
    reason = f"aliased with {listed(others)}" if others else "fewer than three levels have enough finished runs"
    return _unanswered(design, effect, Obstacle(Status.NOT_TESTABLE, reason))


def _unanswered(design: Factorial, effect: FactorTrend, obstacle: Obstacle) -> Claim:
    return unanswered(ClaimKind.TREND, _heading(effect), obstacle, subject=effect, n_runs=design.n_runs)


def _heading(effect: FactorTrend) -> str:
    return f"{HEADINGS[effect.shape]} {factor_label(effect.factor)}"


def _claim(sweep: SweepTests, effect: FactorTrend) -> Claim:
    """Make the claim about one trend, in the direction of the metric."""
    contrast, p = sweep.trend(effect), sweep.trend_p[effect]
    sign = 1.0 if sweep.design.scale.quantity.better == "smaller" else -1.0
    stated = contrast.estimable and not sweep.biased_by_failures(effect.factor)
    ends = sorted(sign * end for end in inverted(contrast, p, sweep.alpha).interval) if stated else None
    interval = None if ends is None else (ends[0], ends[1])
    value = sign * contrast.value
    levels = sweep.levels_of(effect.factor)
    axis = sweep.axes_of_trends[effect.factor]
    variability = f"not distinguishable from {sweep.variability}"
    finding = Finding(
        kind=ClaimKind.TREND,
        subject=effect,
        heading=_heading(effect),
        answer=_answer(sweep, effect, value),
        observed=f"{_answer(sweep, effect, value)} as observed",
        facts=f"{_size(sweep, effect, value, interval)}, {p_text(p, sweep.alpha)} after Holm",
        verdict=(Status.SUPPORTED, "significant trend") if p < sweep.alpha else (Status.UNRESOLVED, variability),
        weakened_by=[*sweep.doubts(effect), *_dependence(sweep, effect)],
        method=f"{TRENDS}, Holm over the parameters",
        estimate=value,
        estimate_of=_estimate_of(effect),
        interval=interval,
        p_adjusted=p,
        evidence=TrendEvidence(
            p_unadjusted=sweep.raw_p[effect],
            logarithmic_axis=axis.logarithmic,
            lowest=levels[0],
            highest=levels[-1],
        ),
    )
    return build_claim(sweep, finding)


def _estimate_of(effect: FactorTrend) -> str:
    if effect.shape == "linear":
        return "change from the lowest to the highest level along the fitted line, on the analysed scale"
    return "half-way between the ends, the fitted parabola minus the line between its ends, on the analysed scale"


def _answer(sweep: SweepTests, effect: FactorTrend, value: float) -> str:
    name = sweep.design.scale.quantity.label
    if effect.shape == "linear":
        return f"{name} {'rises' if value > 0.0 else 'falls'} with {factor_label(effect.factor)}"
    return f"{name} is {'higher' if value > 0.0 else 'lower'} half-way than on a straight line"


def _size(sweep: SweepTests, effect: FactorTrend, value: float, interval: Interval | None) -> str:
    """Return the estimate with its interval and what it spans as text."""
    levels = sweep.levels_of(effect.factor)
    if sweep.design.scale.logarithmic:
        size = f"×{number_text(ratio(value))}"
        reach = "" if interval is None else f" {interval_text(ratio(interval[0]), ratio(interval[1]))}"
    else:
        size = f"{value:+.3g}"
        reach = "" if interval is None else f" {interval_text(*interval)}"
    ends = f"{level_text(levels[0])} to {level_text(levels[-1])}"
    axis = " on a logarithmic axis" if sweep.axes_of_trends[effect.factor].logarithmic else ""
    return f"{size}{reach} {'from' if effect.shape == 'linear' else 'in the middle of'} {ends}{axis}"


def _dependence(sweep: SweepTests, effect: FactorTrend) -> list[str]:
    """Return the parameters on which a significant trend depends."""
    others = sweep.interacting(effect.factor) if sweep.trend_p[effect] < sweep.alpha else []
    return [f"it depends on {listed(others)}"] if others else []
