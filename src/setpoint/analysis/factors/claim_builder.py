"""Claims of one form: the answer if the test supports it, otherwise the observation and why it is inconclusive."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Factorial
from setpoint.analysis.data.evidence import Evidence
from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import OneFactor, Subject
from setpoint.analysis.factors.factor_tests import SweepTests
from setpoint.formatting import factor_label, level_text


def level_heading(factor: str) -> str:
    """Return the heading of the claim about the best level of `factor`."""
    bare = factor.rpartition(".")[2]
    return f"{'Optimal' if bare == 'lora_rank' else 'Best'} {factor_label(factor)}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of a test, as the parts of a claim.

    Attributes:
        answer: statement of a supported claim.
        observed: statement of any other claim.
        facts: numbers of both statements.
        verdict: status by the test alone, and its reason.
        weakened_by: reasons that turn a supported claim into a suggestive one.
    """

    kind: ClaimKind
    subject: Subject | None = None
    heading: str
    answer: str
    observed: str
    facts: str
    verdict: tuple[Status, str]
    weakened_by: Sequence[str] = ()
    method: str
    estimate: float | None = None
    estimate_of: str | None = None
    interval: tuple[float, float] | None = None
    p_adjusted: float | None
    evidence: Evidence


def build_claim(sweep: SweepTests, found: Finding) -> Claim:
    """Make a claim whose statement agrees with its status."""
    status, reason = found.verdict
    weakened_by = (sweep.caveats[0], *found.weakened_by) if sweep.pending else tuple(found.weakened_by)
    if status is Status.SUPPORTED and weakened_by:
        status, reason = Status.SUGGESTIVE, "; ".join(weakened_by)
    elif weakened_by:
        reason = "; ".join([reason, *weakened_by])
    facts = f"{found.facts}, {sweep.sample}"
    return Claim(
        kind=found.kind,
        subject=found.subject,
        heading=found.heading,
        statement=f"{found.answer} ({facts})"
        if status is Status.SUPPORTED
        else f"not resolved: {found.observed} ({facts}); {reason}",
        status=status,
        reason=reason,
        method=found.method,
        n_runs=sweep.cells.n_runs,
        estimate=found.estimate,
        estimate_of=found.estimate_of,
        interval=found.interval,
        p_adjusted=found.p_adjusted,
        caveats=tuple(sweep.caveats),
        evidence=found.evidence,
    )


def no_level_claim(design: Factorial, factor: str, obstacle: Obstacle) -> Claim:
    """Make the claim about the best level of `factor` that was not tested, with the observation and the reason."""
    return unanswered(
        ClaimKind.OPTIMAL_LEVEL,
        level_heading(factor),
        obstacle,
        subject=OneFactor(factor),
        observed=_observed_best(design, factor),
        n_runs=design.n_runs,
    )


def _observed_best(design: Factorial, factor: str) -> str:
    """Return the observed best level, such as `8 observed best, but `; empty with fewer than two levels."""
    by_level: dict[Level, list[float]] = {}
    for observation in design.observations:
        if observation.value is not None:
            by_level.setdefault(observation.level(factor), []).append(observation.value)
    if len(by_level) < 2:
        return ""
    best = min(by_level, key=lambda level: float(np.mean(by_level[level])))
    return f"{level_text(best)} observed best, but "
