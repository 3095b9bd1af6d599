"""Comparison of single trained models on shared test cases: a claim about these checkpoints, not their recipe."""

from collections.abc import Sequence

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.design import Scale
from setpoint.analysis.data.evidence import CheckpointEvidence
from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.quantities import CASE_METRICS, CaseValues
from setpoint.analysis.statistics.cells import Contrast
from setpoint.analysis.statistics.levels import t_comparison
from setpoint.formatting import (
    counted,
    interval_text,
    number_text,
    p_text,
    percent_interval_text,
    percent_text,
)

WORDING = "about these checkpoints on this population of cases; another seed of the same recipe may differ"
LEAST_CASES = 5


def checkpoint_claims(data: ExperimentData) -> list[Claim]:
    """Compare the observed best checkpoint with every other, for each system with one run per configuration."""
    metric = data.analysis.primary_metric
    if metric not in CASE_METRICS or any(run.replicate for run in data.runs):
        return []
    return [claim for system in data.systems if (claim := _claim(data, system, metric)) is not None]


def _claim(data: ExperimentData, system: str, metric: str) -> Claim | None:
    runs = [(run, cases) for run in data.runs if run.state.ok and (cases := _cases(run, system)) is not None]
    shared = sorted(set.intersection(*(set(cases.case_id.tolist()) for _, cases in runs))) if len(runs) >= 2 else []
    if len(shared) < LEAST_CASES:
        return None
    table = np.array([_in_order(cases, metric, shared) for _, cases in runs])
    if not np.isfinite(table).all():
        return None
    scale = Scale(data.quantity(metric), data.analysis.scale == "log" and bool((table > 0.0).all()))
    sign = 1.0 if scale.quantity.better == "smaller" else -1.0
    values = sign * (np.log(table) if scale.logarithmic else table)
    return _compare(data, system, [run for run, _ in runs], values, scale)


def _cases(run: RunResult, system: str) -> CaseValues | None:
    outcome = run.outcomes.get(system)
    return None if outcome is None else outcome.cases


def _in_order(cases: CaseValues, metric: str, shared: Sequence[int]) -> np.ndarray:
    place = {case: k for k, case in enumerate(cases.case_id.tolist())}
    return np.asarray(cases.values[metric])[[place[case] for case in shared]]


def _compare(data: ExperimentData, system: str, runs: Sequence[RunResult], values: np.ndarray, scale: Scale) -> Claim:
    """Compare the observed best with the others, corrected for all pairs because it was selected by its result."""
    count, cases = values.shape
    best = int(np.argmin(values.mean(axis=1)))
    family = count * (count - 1) // 2
    compared = {}
    for other in range(count):
        if other != best:
            differences = values[other] - values[best]
            error = float(differences.std(ddof=1)) / cases**0.5
            contrast = Contrast(float(differences.mean()), error, cases - 1.0)
            if contrast.estimable:
                compared[other] = t_comparison(contrast, family, data.analysis.alpha)
    kind, heading = ClaimKind.CHECKPOINTS, f"These checkpoints, {system}"
    method = "paired t over shared cases, Bonferroni over all pairs of checkpoints"
    if not compared:
        no_spread = Obstacle(Status.NOT_TESTABLE, "the differences do not vary between cases")
        return unanswered(kind, heading, no_spread, system=system, method=method, n_runs=count)
    nearest = min(compared, key=lambda other: compared[other].value)
    closest = compared[nearest]
    beaten = sum(c.p_adjusted < data.analysis.alpha for c in compared.values())
    gain, reach = (
        scale.improvement(-closest.value),
        scale.improvement_interval((-closest.interval[1], -closest.interval[0])),
    )
    size = percent_text(gain) if scale.logarithmic else number_text(gain)
    interval = percent_interval_text(*reach) if scale.logarithmic else interval_text(*reach)
    facts = (
        f"{'geometric ' if scale.logarithmic else ''}mean over cases of the {scale.quantity.label} {size} {interval} "
        f"better than the next, {p_text(closest.p_adjusted)}, {counted(cases, 'case')}"
    )
    everyone = beaten == count - 1
    verdict = f"beats {beaten} of the {count - 1} others"
    return Claim(
        kind=kind,
        system=system,
        heading=heading,
        statement=f"{runs[best].name} {verdict} ({facts}); {WORDING}"
        if everyone
        else f"not resolved: {runs[best].name} observed best, {verdict} ({facts}); {WORDING}",
        status=Status.SUPPORTED if everyone else Status.UNRESOLVED,
        reason=WORDING,
        method=method,
        n_runs=count,
        estimate=gain,
        interval=reach,
        p_adjusted=closest.p_adjusted,
        evidence=CheckpointEvidence(best=runs[best].name, beaten=beaten),
    )
