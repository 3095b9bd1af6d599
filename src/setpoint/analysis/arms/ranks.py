"""Comparison of three or more arms over several systems by their ranks."""

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Scale, observe
from setpoint.analysis.data.evidence import RankEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.statistics.permutation import friedman, least_friedman_p
from setpoint.analysis.statistics.population import least_systems
from setpoint.formatting import counted, factor_label, level_text, number_text, p_text
from setpoint.seeding import generator


def values_by_arm(data: ExperimentData, factor: str, metric: str, system: str) -> dict[Level, list[float]]:
    """Return the values of the runs on `system`, on the analysis scale, for each level of `factor`."""
    scale = Scale(data.quantity(metric), data.analysis.scale == "log")
    found: dict[Level, list[float]] = {}
    for o in observe(data, scale):
        if o.system == system and o.value is not None:
            found.setdefault(o.level(factor), []).append(o.value)
    return found


def rank_claims(data: ExperimentData, factor: str) -> list[Claim]:
    """Test whether the arms' ranks differ over systems, with Friedman's test; empty for fewer than three arms."""
    arms = list(dict.fromkeys(run.level(factor) for run in data.runs))
    tables = [values_by_arm(data, factor, data.analysis.primary_metric, system) for system in data.systems]
    complete = [table for table in tables if all(table.get(arm) for arm in arms)]
    if len(arms) < 3:
        return []
    kind, subject, heading = ClaimKind.RANKS, OneFactor(factor), f"Ranks of {factor_label(factor)} over systems"
    method = "Friedman's test of mean results, permutation within systems"
    alpha, count = data.analysis.alpha, len(complete)
    n_runs = sum(len(table[arm]) for table in complete for arm in arms)
    least = least_friedman_p(count, len(arms)) if count else 1.0
    if least > alpha:
        verb = "is" if count == 1 else "are"
        reason = f"{counted(count, 'system')} {verb} too few: the smallest attainable p-value is {number_text(least)}"
        refused = Obstacle(Status.REFUSED, reason)
        return [unanswered(kind, heading, refused, subject=subject, method=method, n_runs=n_runs)]
    means = np.array([[float(np.mean(table[arm])) for arm in arms] for table in complete])
    p = friedman(means, generator("friedman"))
    places = (np.argsort(np.argsort(means, axis=1), axis=1) + 1.0).mean(axis=0)
    ranks = ", ".join(f"{level_text(arm)} {number_text(float(r), 2)}" for arm, r in zip(arms, places, strict=True))
    facts = f"mean ranks {ranks}; {p_text(p)}, {counted(count, 'system')}"
    needed = least_systems(alpha)
    if p >= alpha:
        status, reason = Status.UNRESOLVED, "not statistically significant"
    elif any(run.pending for run in data.runs):
        status, reason = Status.SUGGESTIVE, "interim: some runs have not finished"
    elif count < needed:
        status, reason = Status.SUGGESTIVE, f"these systems only; general claims need at least {needed} systems"
    else:
        status, reason = Status.SUPPORTED, "the arms' ranks differ over systems"
    return [
        Claim(
            kind=kind,
            subject=subject,
            heading=heading,
            statement=f"the ranks differ ({facts})"
            if status is Status.SUPPORTED
            else f"not resolved: {facts}; {reason}",
            status=status,
            reason=reason,
            method=method,
            n_runs=n_runs,
            p_adjusted=p,
            evidence=RankEvidence(arms=tuple(arms), mean_ranks=tuple(places.tolist()), systems=count),
        )
    ]
