"""Which configurations may be the best on a system: the set that holds the true best, and how to choose from it."""

from collections.abc import Sequence

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, unanswered
from setpoint.analysis.data.evidence import BestSetEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.formatting import counted, level_text, number_text
from setpoint.analysis.runs.configurations import ConfigurationResult, rank_configurations, ranking_metric
from setpoint.analysis.runs.reliability import survivor_caveat

SHOWN = 5
NOTE = "the observed best's own score is too good on average; only fresh seeds give an unbiased one"


def best_set_claims(data: ExperimentData) -> list[Claim]:
    """One claim for each system with two configurations or more."""
    claims = []
    for system in data.systems:
        ranked = rank_configurations(data, system, ranking_metric(data))
        if len(ranked) >= 2:
            claims.append(_claim(data, system, ranked))
    return claims


def configuration_name(result: ConfigurationResult) -> str:
    """`lora_rank 8, learning_rate 1e-4`."""
    return ", ".join(f"{name} {level_text(level)}" for name, level in result.levels.items()) or "all runs"


def _obstacle(data: ExperimentData, ranked: list[ConfigurationResult]) -> Obstacle:
    """Why configurations that have results were not compared."""
    quantity = data.quantity(ranking_metric(data))
    values = [value for result in ranked for value in result.values]
    without = sum(value <= 0.0 for value in values)
    if data.analysis.scale == "log" and without:
        runs = counted(without, "run")
        return Obstacle(Status.REFUSED, f"{quantity.label} is zero or negative in {runs}, so it has no logarithm")
    if all(len(set(result.values)) <= 1 for result in ranked) and any(len(result.values) > 1 for result in ranked):
        return Obstacle(Status.NOT_TESTABLE, f"{quantity.label} does not vary between replicates")
    return Obstacle(Status.NOT_TESTABLE, "too few seeds per configuration to compare single configurations")


def _claim(data: ExperimentData, system: str, ranked: list[ConfigurationResult]) -> Claim:
    kind, heading = ClaimKind.BEST_CONFIGURATIONS, f"Best configurations, {system}"
    with_result = [result for result in ranked if result.mean is not None]
    n_runs = sum(len(result.values) for result in ranked)
    if not with_result:
        no_result = Obstacle(Status.NOT_TESTABLE, "no run has a result")
        return unanswered(kind, heading, no_result, system=system)
    first = with_result[0]
    label = data.quantity(ranking_metric(data)).label
    observed = f"{configuration_name(first)} observed best ({label} {number_text(first.mean or 0.0, 4)})"
    tested = [result for result in ranked if result.possibly_best is not None]
    if not tested:
        obstacle = _obstacle(data, ranked)
        return unanswered(kind, heading, obstacle, system=system, observed=f"{observed}, but ", n_runs=n_runs)
    best = [result for result in tested if result.possibly_best]
    untested = len(ranked) - len(tested)
    caveats = [*survivor_caveat(data)]
    if untested:
        caveats.append(f"{counted(untested, 'configuration')} could not be compared")
    status, reasons = _verdict(data, best, tested, final=not untested)
    reason = "; ".join([*reasons, *caveats])
    return Claim(
        kind=kind,
        system=system,
        heading=heading,
        statement=f"{observed}: {reason}" if status is Status.SUPPORTED else f"not resolved: {observed}; {reason}",
        status=status,
        reason=reason,
        method="multiple comparisons with the best, one-sided Welch t with Bonferroni's correction (pooled spread up "
        "to three seeds)",
        n_runs=n_runs,
        caveats=tuple(caveats),
        evidence=BestSetEvidence(
            observed_best=first.configuration,
            possibly_best=tuple(result.configuration for result in best),
            tested=len(tested),
            note=NOTE,
        ),
    )


def _verdict(
    data: ExperimentData, best: Sequence[ConfigurationResult], tested: Sequence[ConfigurationResult], *, final: bool
) -> tuple[Status, list[str]]:
    """Whether one configuration is left that may be the best, and why; `final` says that all were compared."""
    pending = any(run.pending for run in data.runs)
    interim = ["interim"] if pending else []
    if len(best) == 1:
        status = Status.SUPPORTED if final and not pending else Status.SUGGESTIVE
        return status, [f"better than the {len(tested) - 1} others that were compared", *interim]
    names = "; ".join(configuration_name(result) for result in best[:SHOWN])
    more = f"; and {len(best) - SHOWN} more" if len(best) > SHOWN else ""
    tied = f"statistically tied with the best: {len(best)} of {len(tested)} configurations ({names}{more})"
    return Status.UNRESOLVED, [tied, *interim]
