"""Equivalence of the levels of a parameter: is every difference smaller than the margin that the plan declares?"""

from collections.abc import Sequence
from itertools import combinations

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Factorial
from setpoint.analysis.data.evidence import EquivalenceEvidence
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.factors.case_variance import cells_for_new_cases
from setpoint.analysis.factors.claim_builder import Finding, build_claim
from setpoint.analysis.factors.factor_tests import SweepTests, holm_by_family
from setpoint.analysis.statistics.cells import Cells, Contrast
from setpoint.analysis.statistics.equivalence import largest_difference
from setpoint.formatting import factor_label, level_text, listed, p_text

_NO_SPREAD = Obstacle(Status.NOT_TESTABLE, "the metric does not vary within levels: no variance estimate")
METHOD = "two one-sided t tests of every pair of levels (Welch), Holm over the parameters"


def equivalence_claims(sweep: SweepTests) -> list[Claim]:
    """Make one claim per parameter; none if the plan declares no margin."""
    margin = sweep.data.analysis.margin
    if margin is None:
        return []
    pairs = {factor: _pairs(sweep, sweep.cells, factor) for factor in sweep.parameters}
    tested = {factor: found for factor, found in pairs.items() if all(c.estimable for c in found)}
    raw = {factor: largest_difference(found, margin, sweep.alpha).p for factor, found in tested.items()}
    adjusted = holm_by_family(raw, sweep.data.analysis.families)
    return [
        _claim(sweep, factor, tested[factor], margin, raw[factor], adjusted[factor])
        if factor in tested
        else no_equivalence_claims(sweep.design, margin, [factor], _NO_SPREAD)[0]
        for factor in sweep.parameters
    ]


def no_equivalence_claims(
    design: Factorial, margin: float | None, factors: Sequence[str], obstacle: Obstacle
) -> list[Claim]:
    """Return claims that were not tested, with the reason; none if the plan declares no margin."""
    return [
        unanswered(
            ClaimKind.EQUIVALENCE,
            _heading(design, factor, margin),
            obstacle,
            subject=OneFactor(factor),
            n_runs=design.n_runs,
        )
        for factor in factors
        if margin is not None
    ]


def _pairs(sweep: SweepTests, cells: Cells, factor: str) -> list[Contrast]:
    weights = sweep.tables[factor].weights
    return [cells.contrast(weights[a] - weights[b]) for a, b in combinations(range(len(weights)), 2)]


def _heading(design: Factorial, factor: str, margin: float) -> str:
    return f"Equivalence of {factor_label(factor)} within {design.scale.size_text(margin)}"


def _claim(
    sweep: SweepTests, factor: str, contrasts: Sequence[Contrast], margin: float, raw: float, adjusted: float
) -> Claim:
    level = sweep.alpha * raw / adjusted if adjusted > raw > 0.0 else sweep.alpha
    largest, scale = largest_difference(contrasts, margin, level), sweep.design.scale
    allowed, limit = scale.size_text(margin), scale.size_text(largest.limit)
    shown = adjusted < sweep.alpha
    found = Finding(
        kind=ClaimKind.EQUIVALENCE,
        subject=OneFactor(factor),
        heading=_heading(sweep.design, factor, margin),
        answer=f"no difference larger than {allowed}",
        observed=f"no difference larger than {allowed} seen" if shown else f"differences up to {limit} are possible",
        facts=f"largest observed: {scale.size_text(largest.observed)}, upper limit {limit}, "
        f"{p_text(adjusted, sweep.alpha)} after Holm",
        verdict=(Status.SUPPORTED, "the upper limit of every difference is below the margin")
        if shown
        else (Status.UNRESOLVED, "open: the upper limit of the differences is not below the margin"),
        weakened_by=_weaknesses(sweep, factor, margin, adjusted / raw if raw > 0.0 else 1.0) if shown else (),
        method=METHOD,
        estimate=scale.size(largest.observed),
        estimate_of="largest difference between two levels",
        interval=(0.0, scale.size(largest.limit)),
        p_adjusted=adjusted,
        evidence=EquivalenceEvidence(margin, largest.limit, limit, raw),
    )
    return build_claim(sweep, found)


def _weaknesses(sweep: SweepTests, factor: str, margin: float, correction: float) -> list[str]:
    """Return the reasons why equivalence that the test shows is not established, most serious first."""
    found = ["failure rates may differ between its levels"] if factor in sweep.unequal_failures else []
    if interacting := sweep.interacting(factor):
        found.append(f"the effect depends on {listed(interacting)}, so that levels may differ at some of its values")
    found += [f"aliased with {listed(sweep.design.aliases[factor])}"] if factor in sweep.design.aliases else []
    found += [
        f"{level_text(level)} could not be compared: too few of its {sweep.words.run}s have a result"
        for name, level in sweep.design.dropped
        if name == factor
    ]
    new = cells_for_new_cases(sweep.design, sweep.cells)
    if new is not None:
        p = largest_difference(_pairs(sweep, new, factor), margin, sweep.alpha).p
        found += ["shown for these cases only: with new cases it may not hold"] * (correction * p >= sweep.alpha)
    return found


def bounded_by(claim: Claim | None, sweep: SweepTests) -> str:
    """Return what equivalence adds to a main effect that is not significant: how large it can be."""
    if claim is None or not isinstance(claim.evidence, EquivalenceEvidence):
        return " (not evidence of no effect)"
    if claim.status is Status.SUPPORTED:
        return f", and smaller than {sweep.design.scale.size_text(claim.evidence.margin)}"
    return f", and open: differences up to {claim.evidence.limit_text} are possible"
