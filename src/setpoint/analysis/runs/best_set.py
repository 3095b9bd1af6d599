"""Near-best configurations of each system."""

from collections.abc import Sequence
from dataclasses import replace

from setpoint.analysis.data.claim import Claim, ClaimKind, Obstacle, Status, find, unanswered
from setpoint.analysis.data.design import swept
from setpoint.analysis.data.evidence import BestSetEvidence, Interval, LevelEvidence
from setpoint.analysis.data.experiment import ExperimentData
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.runs.configurations import ConfigurationResult, Ranking, ranking, ranking_metric
from setpoint.analysis.runs.reliability import survivor_caveat
from setpoint.formatting import (
    counted,
    interval_text,
    level_text,
    number_text,
    p_text,
    percent_interval_text,
    percent_text,
)

SHOWN = 5
NOTE = "the score of the observed best is biased by selection; only new seeds give an unbiased one"


METHOD = "multiple comparisons with the best: Welch t against every other configuration, Bonferroni"


def best_set_claims(data: ExperimentData, made: Sequence[Claim] = ()) -> list[Claim]:
    """Make one claim for each system with at least two configurations.

    If a single factor defines the configurations of a single system, the claim about its best level in `made` is
    restated.
    """
    factors = swept(data)
    level = find(made, ClaimKind.OPTIMAL_LEVEL, subject=OneFactor(factors[0])) if len(factors) == 1 else None
    claims = []
    for system in data.systems:
        found = ranking(data, system, ranking_metric(data))
        if len(found.results) < 2:
            continue
        if level is not None and len(data.systems) == 1:
            claims.append(_as_the_level(data, found, system, level))
        else:
            claims.append(_claim(data, system, found))
    return claims


def _as_the_level(data: ExperimentData, found: Ranking, system: str, level: Claim) -> Claim:
    """Restate the claim about the best level of the only factor as a claim about configurations."""
    evidence, heading = level.evidence, _heading(data, system)
    if not isinstance(evidence, LevelEvidence):
        return replace(
            level, kind=ClaimKind.BEST_CONFIGURATIONS, subject=None, system=system, heading=heading, evidence=None
        )
    by_level = {result.levels[level.factor]: result.configuration for result in found.results}
    return replace(
        level,
        kind=ClaimKind.BEST_CONFIGURATIONS,
        subject=None,
        system=system,
        heading=heading,
        evidence=BestSetEvidence(
            observed_best=by_level[evidence.observed_best],
            possibly_best=tuple(by_level[member] for member in evidence.possibly_best),
            tested=len(evidence.level_means),
            note=NOTE,
        ),
    )


def configuration_name(result: ConfigurationResult) -> str:
    """Return the levels of a configuration as text, such as `lora_rank 8, learning_rate 1e-4`."""
    return ", ".join(f"{name} {level_text(level)}" for name, level in result.levels.items()) or "all runs"


def _obstacle(data: ExperimentData, ranked: list[ConfigurationResult]) -> Obstacle:
    """Return why configurations with results were not compared."""
    quantity = data.quantity(ranking_metric(data))
    values = [value for result in ranked for value in result.values]
    without = sum(value <= 0.0 for value in values)
    if data.analysis.scale == "log" and without:
        runs = counted(without, data.words.run)
        return Obstacle(Status.REFUSED, f"{quantity.label} is zero or negative in {runs}, so it has no logarithm")
    if all(len(set(result.values)) <= 1 for result in ranked) and any(len(result.values) > 1 for result in ranked):
        return Obstacle(Status.NOT_TESTABLE, f"{quantity.label} does not vary between {data.words.replicate}s")
    return Obstacle(
        Status.NOT_TESTABLE,
        f"too few {data.words.replicate}s to compare single {data.words.configuration}s",
    )


def _heading(data: ExperimentData, system: str) -> str:
    """Return the heading, such as `Best configurations, pendulum`; a table has no system."""
    name = f"Best {data.words.configuration}s"
    return name if data.type == "table" else f"{name}, {system}"


def _claim(data: ExperimentData, system: str, found: Ranking) -> Claim:
    kind, heading, ranked = ClaimKind.BEST_CONFIGURATIONS, _heading(data, system), list(found.results)
    with_result = [result for result in ranked if result.mean is not None]
    n_runs = sum(len(result.values) for result in ranked)
    if not with_result:
        no_result = Obstacle(Status.NOT_TESTABLE, "no run has a result")
        return unanswered(kind, heading, no_result, system=system)
    first = with_result[0]
    label = data.quantity(ranking_metric(data)).label
    observed = f"{configuration_name(first)} observed best ({label} {number_text(first.mean or 0.0, 4)})"
    tested = [result for result in ranked if result.possibly_best is not None]
    if not tested or found.lead is None or first not in tested:
        obstacle = _obstacle(data, ranked)
        return unanswered(kind, heading, obstacle, system=system, observed=f"{observed}, but ", n_runs=n_runs)
    best = [result for result in tested if result.possibly_best]
    caveats = [*survivor_caveat(data)]
    untested = len(ranked) - len(tested)
    if untested:
        caveats.append(f"{counted(untested, data.words.configuration)} could not be compared")
    status, reason = _verdict(data, found, best, tested)
    p, lead = p_text(found.lead.p_adjusted, data.analysis.alpha), _lead_text(found)
    facts = f"{lead}, {p}, {counted(n_runs, data.words.run)}"
    return Claim(
        kind=kind,
        system=system,
        heading=heading,
        statement=f"{observed}: {reason} ({facts})"
        if status is Status.SUPPORTED
        else f"not resolved: {observed} ({facts}); {reason}",
        status=status,
        reason=reason,
        method=f"{METHOD}; {found.blocks} blocks, additive model" if found.blocks else METHOD,
        n_runs=n_runs,
        estimate=found.scale.improvement(-found.lead.value),
        estimate_of="improvement of the observed best over the next best",
        interval=None if found.doubts else _lead_interval(found),
        p_adjusted=found.lead.p_adjusted,
        caveats=tuple(caveats),
        evidence=BestSetEvidence(
            observed_best=first.configuration,
            possibly_best=tuple(result.configuration for result in best),
            tested=len(tested),
            note=NOTE,
        ),
    )


def _lead_interval(found: Ranking) -> Interval | None:
    if found.lead is None:
        return None
    low, high = found.lead.interval
    return found.scale.improvement_interval((-high, -low))


def _lead_text(found: Ranking) -> str:
    """Return the lead as text, such as `12 % [2 %, 21 %] better than the next`; no interval if failures cast doubt."""
    interval = None if found.doubts else _lead_interval(found)
    value = found.scale.improvement(-found.lead.value) if found.lead is not None else 0.0
    relative = found.scale.logarithmic
    size = percent_text(value) if relative else number_text(value)
    if interval is not None:
        size += f" {(percent_interval_text if relative else interval_text)(*interval)}"
    return f"{size} better than the next"


def _verdict(
    data: ExperimentData,
    found: Ranking,
    best: Sequence[ConfigurationResult],
    tested: Sequence[ConfigurationResult],
) -> tuple[Status, str]:
    """Return whether a single near-best configuration is left, and why."""
    interim = ["interim"] if any(run.pending for run in data.runs) else []
    untested = len(found.results) - len(tested)
    if len(best) == 1:
        doubts = [*interim, *found.doubts]
        doubts += [f"{counted(untested, data.words.configuration)} could not be compared"] if untested else []
        if doubts:
            return Status.SUGGESTIVE, "; ".join(doubts)
        others = len(tested) - 1
        return Status.SUPPORTED, "better than the other" if others == 1 else f"better than each of the {others} others"
    names = "; ".join(configuration_name(result) for result in best[:SHOWN])
    more = f"; and {len(best) - SHOWN} more" if len(best) > SHOWN else ""
    tied = (
        f"not distinguishable from the best: {len(best)} of {len(tested)} {data.words.configuration}s ({names}{more})"
    )
    return Status.UNRESOLVED, "; ".join([tied, *interim])
