"""Claims of one form: an answer where the test says so, what was observed and why it is open where it does not."""

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
    """The heading of the claim about the best level of `factor`."""
    bare = factor.rpartition(".")[2]
    return f"{'Optimal' if bare == 'lora_rank' else 'Best'} {factor_label(factor)}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a test found, as the parts of a claim.

    Attributes:
        answer: the statement where the claim is supported.
        observed: what was seen, the statement where it is not.
        facts: numbers for either statement.
        verdict: how far the test alone carries the claim, and why.
        weakened_by: reasons for which a supported claim is no more than suggestive.
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
    """Compose a claim whose statement agrees with its status."""
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
    """The claim about the best level of `factor`, with why it is not made, and what was observed all the same."""
    return unanswered(
        ClaimKind.OPTIMAL_LEVEL,
        level_heading(factor),
        obstacle,
        subject=OneFactor(factor),
        observed=_observed_best(design, factor),
        n_runs=design.n_runs,
    )


def _observed_best(design: Factorial, factor: str) -> str:
    """`8 observed best, ` where runs allow to say so much."""
    by_level: dict[Level, list[float]] = {}
    for observation in design.observations:
        if observation.value is not None:
            by_level.setdefault(observation.level(factor), []).append(observation.value)
    if len(by_level) < 2:
        return ""
    best = min(by_level, key=lambda level: float(np.mean(by_level[level])))
    return f"{level_text(best)} observed best, but "
