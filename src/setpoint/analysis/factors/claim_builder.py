"""Claims of one form: an answer where the test says so, what was observed and why it is open where it does not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.design import Factorial, Obstacle
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.data.formatting import factor_label, level_text
from setpoint.analysis.factors.factor_tests import Sweep


def level_heading(factor: str) -> str:
    """The heading of the claim about the best level of `factor`."""
    bare = factor.rpartition(".")[2]
    return f"{'Optimal' if bare == 'lora_rank' else 'Best'} {factor_label(factor)}"


def judged(
    sweep: Sweep,
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
    if sweep.pending:
        weakened_by = (sweep.caveats[0], *weakened_by)
    if status is Status.SUPPORTED and weakened_by:
        status, reason = Status.SUGGESTIVE, "; ".join(weakened_by)
    elif weakened_by:
        reason = "; ".join([reason, *weakened_by])
    facts = f"{facts}, {sweep.seeds} per configuration"
    statement = f"{answer} ({facts})" if status is Status.SUPPORTED else f"not resolved: {observed} ({facts}); {reason}"
    details = {**numbers.pop("details", {}), "caveats": list(sweep.caveats)}
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


def not_made(
    data: ExperimentData, claim: str, heading: str, obstacle: Obstacle, design: Factorial | None = None
) -> Claim:
    """The claim that would be made, with the reason why it is not, and what was observed all the same."""
    observed = _observed_best(design, claim.partition(":")[2]) if design is not None and ":" in claim else ""
    return Claim(
        id=claim,
        heading=heading,
        statement=f"not resolved: {observed}{obstacle.reason}",
        status=obstacle.status,
        reason=obstacle.reason,
        method="none",
        n_runs=0 if design is None else design.n_runs,
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
