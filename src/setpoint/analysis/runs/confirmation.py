"""Claims of a confirmation with new seeds: scores free of selection bias (winner's curse)."""

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.evidence import ConfirmationEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.subject import OneConfiguration
from setpoint.analysis.runs.configurations import ConfigurationResult, rank_configurations, ranking_metric
from setpoint.analysis.runs.reliability import survivor_caveat
from setpoint.formatting import counted, interval_text, level_text, number_text


def confirmation_claims(data: ExperimentData) -> list[Claim]:
    """Return the score of each configuration that another experiment selected; empty without a selection."""
    chosen_by = data.plan.confirms
    if not chosen_by:
        return []
    return [
        _claim(data, chosen_by, result)
        for system in data.systems
        for result in rank_configurations(data, system, ranking_metric(data))
    ]


def _claim(data: ExperimentData, chosen_by: str, result: ConfigurationResult) -> Claim:
    name = next((level_text(level) for level in result.levels.values()), "the configuration that was chosen")
    metric = data.quantity(ranking_metric(data))
    seeds = counted(len(result.values), "fresh seed")
    chosen = f"chosen by {chosen_by} before these seeds were drawn, so the score is unbiased"
    reason, status = chosen, Status.SUPPORTED
    if result.mean is None or result.interval is None:
        reason, status = "too few new seeds have a result: no variance estimate", Status.NOT_TESTABLE
    elif any(run.pending for run in data.runs):
        reason, status = "interim: not all fresh seeds have a result", Status.SUGGESTIVE
    elif result.failed:
        reason, status = "; ".join(survivor_caveat(data)), Status.SUGGESTIVE
    score = "" if result.mean is None else f"{metric.label} {number_text(result.mean, 4)}"
    reach = "" if result.interval is None else f" {interval_text(*result.interval)}"
    facts = f"{score}{reach}, {seeds}" if score else seeds
    return Claim(
        kind=ClaimKind.CONFIRMATION,
        subject=OneConfiguration(result.configuration),
        system=result.system,
        heading=f"Confirmed on {result.system}, {name}",
        statement=f"{facts}; {chosen}" if status is Status.SUPPORTED else f"not resolved: {facts}; {reason}",
        status=status,
        reason=reason,
        method="mean over new seeds with its t interval (pooled variance up to three seeds)",
        n_runs=len(result.values),
        estimate=result.mean,
        estimate_of=f"{metric.name}, unbiased",
        interval=result.interval,
        evidence=ConfirmationEvidence(chosen_by),
    )
