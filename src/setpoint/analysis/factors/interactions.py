"""Claims about two-factor interactions."""

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import InteractionEvidence
from setpoint.analysis.data.subject import TwoFactors
from setpoint.analysis.factors.claim_builder import Finding, build_claim
from setpoint.analysis.factors.factor_tests import ATS, SweepTests
from setpoint.formatting import factor_label, level_text, p_text


def interactions(sweep: SweepTests) -> list[Claim]:
    """Make one claim per pair of factors."""
    return [_claim(sweep, first, second, p) for (first, second), p in sweep.interaction_p.items()]


def _claim(sweep: SweepTests, first: str, second: str, p: float) -> Claim:
    verdict = Status.UNRESOLVED, f"not distinguishable from {sweep.variability}"
    if p < sweep.alpha:
        verdict = Status.SUPPORTED, "significant interaction"
    best = f"best {factor_label(first)} {best_by(sweep, first, second)}"
    found = Finding(
        kind=ClaimKind.INTERACTION,
        subject=TwoFactors(first, second),
        heading=f"Interaction of {factor_label(first)} and {factor_label(second)}",
        answer=f"the effect of one depends on the other; {best}",
        observed=f"an interaction is seen, {best}" if p < sweep.alpha else "no interaction shown",
        facts=f"{p_text(p, sweep.alpha)} after Holm",
        verdict=verdict,
        weakened_by=sweep.doubts((first, second)),
        method=f"{ATS}, Holm over the pairs",
        p_adjusted=p,
        evidence=InteractionEvidence(sweep.raw_p[first, second]),
    )
    return build_claim(sweep, found)


def best_by(sweep: SweepTests, factor: str, other: str) -> str:
    """Return the observed best level of `factor` for each level of `other`, such as `by b: b 1: p, b 2: q`."""
    best = best_for_each(sweep, factor, other)
    if len(set(best)) == 1:
        return f"for every {other}: {best[0]}"
    pairs = zip(sweep.levels_of(other), best, strict=True)
    return f"by {other}: " + ", ".join(f"{other} {level_text(level)}: {name}" for level, name in pairs)


def best_for_each(sweep: SweepTests, factor: str, other: str) -> list[str]:
    """Return the observed best level of `factor` for each level of `other`."""
    table = sweep.cells.means.reshape(sweep.cells.shape)
    keep = tuple(sorted({sweep.position(factor), sweep.position(other)}))
    table = table.mean(axis=tuple(k for k in range(table.ndim) if k not in keep))
    rows = table if sweep.position(other) < sweep.position(factor) else table.T
    return [level_text(sweep.levels_of(factor)[int(np.argmin(row))]) for row in rows]
