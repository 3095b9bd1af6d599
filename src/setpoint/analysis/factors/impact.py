"""Main effects of the parameters, and the most impactful one."""

from dataclasses import dataclass

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import ratio
from setpoint.analysis.data.evidence import EffectEvidence, ImpactEvidence
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.factors.claim_builder import Finding, build_claim
from setpoint.analysis.factors.equivalence import bounded_by
from setpoint.analysis.factors.factor_tests import SweepTests, method_of, two_level_difference
from setpoint.analysis.statistics import effects
from setpoint.formatting import factor_label, interval_text, listed, number_text, p_text
from setpoint.seeding import generator

MOST_IMPACTFUL = "Most impactful parameter"
NAMING_PROBABILITY = 0.975
"""Bootstrap probability from which a parameter is named the most impactful; exact ties then win in about 5 %."""


def most_impactful(sweep: SweepTests) -> Claim:
    """Name the parameter with a significant main effect and, almost surely, the largest variance component."""
    if len(sweep.parameters) == 1:
        only = Obstacle(Status.NOT_TESTABLE, f"{sweep.parameters[0]} is the only parameter with several values")
        return unanswered(ClaimKind.MOST_IMPACTFUL, MOST_IMPACTFUL, only, n_runs=sweep.cells.n_runs)
    mains = [(sweep.position(factor),) for factor in sweep.parameters]
    components = effects.variance_components(sweep.cells, mains)
    best = int(np.argmax(components))
    factor = sweep.parameters[best]
    p = sweep.main_p[factor]
    # The bootstrap is needed only if there is an effect.
    top = None
    if p < sweep.alpha:
        top = effects.probability_of_largest(sweep.cells, mains, generator("most_impactful"))
    p_top = 0.0 if top is None else float(top[best])
    likely = {} if top is None else dict(zip(sweep.parameters, top.tolist(), strict=True))
    spread = spread_of(sweep, factor)
    interacting = sweep.interacting(factor)
    if p >= sweep.alpha:
        verdict = Status.UNRESOLVED, f"no parameter effect exceeds {sweep.variability}"
        if min(sweep.main_p.values()) < sweep.alpha:
            verdict = Status.UNRESOLVED, "the parameter with the largest observed effect is not the significant one"
    elif p_top < NAMING_PROBABILITY:
        verdict = Status.SUGGESTIVE, f"it matters, but may not be the one that matters most (P(top)={p_top:.2f})"
    else:
        verdict = Status.SUPPORTED, f"significant main effect and P(top)={p_top:.3f}"
    together = f", whose effect depends on {listed(interacting)}" if interacting else ""
    facts = [spread.text, p_text(p, sweep.alpha) + " after Holm", "" if top is None else f"P(top)={p_top:.2f}"]
    found = Finding(
        kind=ClaimKind.MOST_IMPACTFUL,
        heading=MOST_IMPACTFUL,
        answer=f"{factor}{together}",
        observed=f"{factor} has the largest observed effect",
        facts=", ".join(text for text in facts if text),
        verdict=verdict,
        weakened_by=sweep.doubts(factor),
        method=f"{method_of(sweep, factor)}, Holm over the parameters; bootstrap of bias-corrected variance components",
        estimate=spread.value,
        estimate_of="difference between the worst and the best level, on the analysed scale",
        interval=spread.interval,
        p_adjusted=p,
        evidence=ImpactEvidence(
            parameter=factor,
            probability_of_largest=likely,
            variance_components=dict(zip(sweep.parameters, components.tolist(), strict=True)),
        ),
    )
    return build_claim(sweep, found)


def main_effect(sweep: SweepTests, factor: str, equivalence: Claim | None = None) -> Claim:
    """Make the claim whether a parameter changes the metric, and if not, how large its effect can be."""
    p = sweep.main_p[factor]
    spread = spread_of(sweep, factor)
    significant = p < sweep.alpha
    levels, ranked = sweep.levels_of(factor), sweep.tables[factor].ranked
    found = Finding(
        kind=ClaimKind.MAIN_EFFECT,
        subject=OneFactor(factor),
        heading=f"Effect of {factor_label(factor)}",
        answer="changes the result",
        observed="an effect is seen" if significant else "no effect shown",
        facts=", ".join(text for text in (spread.text, p_text(p, sweep.alpha) + " after Holm") if text),
        verdict=(Status.SUPPORTED, "significant main effect")
        if significant
        else (
            Status.UNRESOLVED,
            f"not distinguishable from {sweep.variability}{bounded_by(equivalence, sweep)}",
        ),
        weakened_by=sweep.doubts(factor),
        method=f"{method_of(sweep, factor)}, Holm over the parameters",
        estimate=spread.value,
        estimate_of="difference between the worst and the best level",
        interval=spread.interval,
        p_adjusted=p,
        evidence=EffectEvidence(
            p_unadjusted=sweep.raw_p[factor], best_level=levels[ranked[0]], worst_level=levels[ranked[-1]]
        ),
    )
    return build_claim(sweep, found)


@dataclass(frozen=True)
class Spread:
    """The largest observed difference between two levels, on the analysis scale and as text."""

    value: float
    interval: tuple[float, float] | None
    text: str


def spread_of(sweep: SweepTests, factor: str) -> Spread:
    """Return the difference of the worst and the best level; with two levels also the interval that inverts the test.

    With more levels the test compares all of them, so no interval of two levels inverts it. There is no interval if
    failed runs cast doubt on the difference.
    """
    table = sweep.tables[factor]
    value = float(table.means[table.ranked[-1]] - table.means[table.ranked[0]])
    stated = len(table.means) == 2 and not sweep.biased_by_failures(factor)
    compared = two_level_difference(sweep, factor) if stated else None
    interval = None if compared is None else compared.interval
    if sweep.design.scale.logarithmic:
        reach = "" if interval is None else f" {interval_text(ratio(interval[0]), ratio(interval[1]))}"
        return Spread(value, interval, f"worst/best level ×{number_text(ratio(value))}{reach}")
    reach = "" if interval is None else f" {interval_text(*interval)}"
    return Spread(value, interval, f"worst to best level {number_text(value)}{reach}")
