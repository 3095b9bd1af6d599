"""The content of a report, computed once for all formats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from setpoint.analysis.data import report_wise
from setpoint.analysis.data.claim import Claim, ClaimKind, Status, all_caveats, find, of_kind
from setpoint.analysis.data.conditions import ConditionResult, read_conditions
from setpoint.analysis.data.evidence import BestSetEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.data.quantities import Metrics
from setpoint.analysis.data.subject import OneCell, Subject
from setpoint.analysis.factors.claim_builder import level_heading
from setpoint.analysis.overview import experiment_claims
from setpoint.analysis.runs.configurations import ConfigurationResult, rank_configurations, ranking_metric
from setpoint.artifacts import TRAINING_KINDS
from setpoint.formatting import (
    ROUND_OFF,
    counted,
    factor_label,
    level_text,
    listed,
    number_text,
    percent_text,
    share_text,
)
from setpoint.records.failure import FailureClass
from setpoint.reports.scales import Reference
from setpoint.reports.stage_effects import cells_first

NOT_MEASURED = "not measured"
SHOWN_CONFIGURATIONS = 10
REFERENCES = {"optimum": "certified optimum", "lqr": "clipped LQR", "zero": "zero control"}
ALWAYS_ANSWERED = ("lora_rank", "learning_rate")
"""Parameters whose best level the statistical section always states, after the most impactful parameter."""


@dataclass(frozen=True)
class RankedSystem:
    """The configurations of one system, ranked by `metric`, with the mean final error of each.

    Attributes:
        errors: configuration -> mean final error.
    """

    system: str
    metric: str
    configurations: tuple[ConfigurationResult, ...]
    errors: Mapping[int, float | None]

    @property
    def with_result(self) -> tuple[ConfigurationResult, ...]:
        """Configurations that have a value of the ranking metric, best first."""
        return tuple(c for c in self.configurations if c.mean is not None)


@dataclass(frozen=True)
class Report:
    """The content of a report; every value comes from result files.

    Attributes:
        conditions: results of a comprehensive evaluation; empty after a standard one.
        running: the experiment is still running while the report is written.
        strict: claims are corrected for all families of tests together.
    """

    data: ExperimentData
    claims: tuple[Claim, ...]
    ranked: tuple[RankedSystem, ...]
    conditions: tuple[ConditionResult, ...] = ()
    running: bool = False
    strict: bool = False

    @property
    def notes(self) -> list[str]:
        """Return the caveats of all claims, and the error rate of the whole report."""
        error_rate = report_wise.strict_note if self.strict else report_wise.error_note
        told = error_rate(self.claims, self.data.analysis.alpha)
        return [*all_caveats(self.claims), *([told] if told else [])]

    def claim(self, kind: ClaimKind, *, subject: Subject | None = None, system: str | None = None) -> Claim | None:
        """Return the claim of this kind about `subject` on `system`; None if there is none."""
        return find(self.claims, kind, subject=subject, system=system)


def report_claims(data: ExperimentData, *, strict: bool = False) -> list[Claim]:
    """Return the claims of a report; if `strict`, corrected for all families of tests together."""
    claims = cells_first(experiment_claims(data), relative=data.analysis.scale == "log")
    return report_wise.strict(claims, data.analysis.alpha) if strict else claims


def build_report(data: ExperimentData, *, running: bool = False, strict: bool = False) -> Report:
    """Analyse `data` and collect the content of its report.

    Args:
        data: the experiment.
        running: the experiment is still running.
        strict: correct for all families of tests together.
    """
    metric = ranking_metric(data)
    claims = report_claims(data, strict=strict)
    ranked = []
    for system in data.systems:
        errors = {c.configuration: c.mean for c in rank_configurations(data, system, "final_error")}
        claim = find(claims, ClaimKind.BEST_CONFIGURATIONS, system=system)
        results = [_as_claimed(result, claim) for result in rank_configurations(data, system, metric)]
        ranked.append(RankedSystem(system, metric, tuple(results), errors))
    return Report(data, tuple(claims), tuple(ranked), tuple(read_conditions(data)), running, strict)


def _as_claimed(result: ConfigurationResult, claim: Claim | None) -> ConfigurationResult:
    """Return the result with its membership in the near-best set according to the claim."""
    if result.possibly_best is None or claim is None or not isinstance(claim.evidence, BestSetEvidence):
        return replace(result, possibly_best=None)
    return replace(result, possibly_best=result.configuration in claim.evidence.possibly_best)


PLACES = ("best", "median", "worst")
"""Places of a configuration in the ranking that figures show."""


def run_at(report: Report, ranked: RankedSystem, place: str) -> RunResult | None:
    """Return a run of the best, median or worst configuration: its run at the same place among the seeds.

    A run is chosen within its configuration, so that the run called best belongs to the configuration that the report
    ranks first; over all configurations, a lucky seed could belong to another one. Ties go to the first run.
    """
    results = ranked.with_result
    if not results:
        return None
    smallest = report.data.quantity(ranked.metric).better == "smaller"
    found = ordered_runs(results[_position(place, len(results))].runs, ranked.system, ranked.metric, smallest=smallest)
    return found[_position(place, len(found))] if found else None


def ordered_runs(runs: Iterable[RunResult], system: str, metric: str, *, smallest: bool) -> list[RunResult]:
    """Return the runs with a result on `system`, the best first; ties go to the first run."""
    found = [
        (value if smallest else -value, run.index, run)
        for run in runs
        if run.state.ok and (value := (run.outcomes[system].final or {}).get(metric)) is not None
    ]
    return [run for *_, run in sorted(found, key=lambda item: item[:2])]


def _position(place: str, count: int) -> int:
    return {"best": 0, "median": (count - 1) // 2, "worst": count - 1}[place]


def mean_name(data: ExperimentData, ranked: RankedSystem) -> str:
    """Return `geometric mean` or `mean`: how the seeds of a configuration were averaged."""
    positive = all(value > 0.0 for result in ranked.configurations for value in result.values)
    return "geometric mean" if data.analysis.scale == "log" and positive else "mean"


def error_text(report: Report, ranked: RankedSystem) -> str:
    """Return what the error is and how it was averaged; an error in the units of the state has no unit of its own."""
    seeds = max((len(result.runs) for result in ranked.configurations), default=1)
    over_seeds = f", {mean_name(report.data, ranked)} over seeds" if seeds > 1 else ""
    return f"error = final distance to the target in state units (L2), mean over test cases{over_seeds}"


def type_text(data: ExperimentData) -> str:
    """Return the experiment's type, or which experiment it confirms."""
    return f"confirmation of {one_line(data.plan.confirms)}" if data.plan.confirms else one_line(data.type)


def ties_text(report: Report, ranked: RankedSystem) -> str:
    """Say how sure the first place of the ranking is, from the claim about the best configurations."""
    claim = report.claim(ClaimKind.BEST_CONFIGURATIONS, system=ranked.system)
    if claim is None or not isinstance(claim.evidence, BestSetEvidence):
        return "Too few seeds to test which configuration is best; the list is sorted by the observed means."
    if claim.status is Status.SUPPORTED:
        others = counted(claim.evidence.tested - 1, "tested configuration")
        return f"The best is significantly better than the other {others}."
    tied = len(claim.evidence.possibly_best)
    if tied == 1:
        return f"The first has the best observed mean, but this is not established: {one_line(claim.reason)}."
    return f"Near-best (statistically tied with the best): {tied} of {claim.evidence.tested} configurations."


def counts(data: ExperimentData) -> tuple[int, int, int]:
    """Count all, successful and failed runs; blocked and lost runs count as failed, pending ones as neither."""
    successful = sum(run.state.ok for run in data.runs)
    failed = sum(run.state.failed for run in data.runs)
    return len(data.runs), successful, failed


def interim_text(report: Report) -> str:
    """Return the banner of an interim report; empty if all runs have ended."""
    runs = report.data.runs
    pending = sum(run.pending for run in runs)
    if not pending:
        return ""
    running = " (the experiment is running)" if report.running else ""
    return (
        f"INTERIM: {pending} of {counted(len(runs), 'run')} not finished{running}. All results below are preliminary."
    )


def exploratory_text(report: Report) -> str:
    """Return the banner of a search: what its results are good for; empty for other experiments."""
    plan = report.data.plan
    search = plan.search
    if search is None:
        return ""
    left = search.trials - search.done
    state = f"{search.done} of {counted(search.trials, 'trial')}" + (f", {left} not run" if left else "")
    state += f", after {search.reused} that had finished before" if search.reused else ""
    return (
        f"EXPLORATORY: a search ({search.sampler}; {state}) chose by earlier results what was run. The best score of "
        "many is too good on average, and tests of such data do not hold their level. Only new seeds decide: setpoint "
        f"experiment confirm {plan.experiment}"
    )


def failure_counts(data: ExperimentData) -> dict[FailureClass, int]:
    """Count failed runs by failure class, most frequent first."""
    classes = [run.failure.failure_class for run in data.runs if run.state.failed and run.failure]
    return {name: classes.count(name) for name in sorted(set(classes), key=lambda name: (-classes.count(name), name))}


def unfinished_text(data: ExperimentData) -> str:
    """Return the numbers of unfinished runs by state; empty if all have ended."""
    states = sorted(run.state for run in data.runs if not run.state.ok and not run.state.failed)
    if not states:
        return ""
    damaged = sum(run.pending and run.failure is not None for run in data.runs)
    why = f" ({damaged} with missing or damaged result files)" if damaged else ""
    found = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{found}{why}; this report is interim"


def one_line(text: str) -> str:
    """Return `text` without line breaks and control characters."""
    return " ".join(printable(text).split())


def printable(line: str) -> str:
    """Replace control characters in `line` by blanks, so that it cannot break the line or control a terminal."""
    return line if line.isprintable() else "".join(c if c.isprintable() else " " for c in line)


def parameter_space(data: ExperimentData) -> str:
    """Return `lora_rank: 4, 8; learning_rate: 1e-4, 2e-4`, with levels in the order of the plan."""
    parts = []
    for factor in data.analysis.factors:
        levels = list(dict.fromkeys(run.level(factor) for run in data.runs))
        parts.append(f"{factor}: {', '.join(level_text(level) for level in levels)}")
    return "; ".join(parts) or "none swept"


def configuration_label(data: ExperimentData, result: ConfigurationResult) -> str:
    """Return `System: …, LoRA: …, LR: …`, followed by every other swept parameter."""
    run = result.runs[0]
    words = [
        f"System: {one_line(result.system)}",
        f"LoRA: {_setting(run, 'lora_rank', ('lora', 'rank'))}",
        f"LR: {_setting(run, 'learning_rate', *((kind, 'learning_rate') for kind in TRAINING_KINDS))}",
    ]
    shown = {"lora_rank", "learning_rate", "system"}
    words += [f"{factor}: {level_text(run.level(factor))}" for factor in data.analysis.factors if factor not in shown]
    return ", ".join(words)


def short_label(data: ExperimentData, result: ConfigurationResult) -> str:
    """Return the swept values of a configuration, short enough for an axis label."""
    levels = [f"{factor_label(name)} {level_text(level)}" for name, level in result.levels.items()]
    return ", ".join(levels) or result.runs[0].training_type


def curve_labels(data: ExperimentData, stages: Mapping[str, Sequence[RunResult]]) -> dict[str, str]:
    """Label the learning curve of each stage with the swept values that distinguish it.

    Parameters that have the same values in all stages are left out: this kind of stage does not depend on them.

    Args:
        data: the experiment.
        stages: stage id -> the runs that share it.
    """
    levels = {
        factor: {stage: tuple(dict.fromkeys(run.level(factor) for run in runs)) for stage, runs in stages.items()}
        for factor in data.analysis.factors
    }
    used = {factor: own for factor, own in levels.items() if len(set(map(frozenset, own.values()))) > 1}

    def label(stage: str) -> str:
        parts = [f"{factor_label(name)} {listed(list(map(level_text, of[stage])), 'or')}" for name, of in used.items()]
        return ", ".join(parts) or "all runs"

    return {stage: label(stage) for stage in stages}


def stages_of(runs: Iterable[RunResult], role: str) -> dict[str, list[RunResult]]:
    """Return the stages of a role, each with the runs that share it."""
    groups: dict[str, list[RunResult]] = {}
    for run in runs:
        if role in run.stages:
            groups.setdefault(run.stages[role], []).append(run)
    return groups


def curve_names(data: ExperimentData, system: str) -> list[str]:
    """Return all curve labels of the system in the order of their colours, which PNG and SVG figures share."""
    runs = [run for run in data.runs if system in run.systems]
    labels = [name for role in TRAINING_KINDS for name in curve_labels(data, stages_of(runs, role)).values()]
    return list(dict.fromkeys(labels))


def _setting(run: RunResult, factor: str, *places: tuple[str, str]) -> str:
    """Return a parameter's value, from the run's factors if it was swept, else from its resolved parameters."""
    if factor in run.factors:
        return level_text(run.factors[factor])
    values: list[Level] = []
    for group, field in places:
        block: Any = run.resolved.get(group)
        if isinstance(block, Mapping) and field in block and block[field] not in values:
            values.append(block[field])
    return "/".join(level_text(value) for value in values) or "not recorded"


def seeds_text(result: ConfigurationResult) -> str:
    """Return `3/3 seeds`, or `2/3 seeds, 1 failed`."""
    text = f"{len(result.values)}/{counted(len(result.runs), 'seed')}"
    return f"{text}, {result.failed} failed" if result.failed else text


def metric_text(value: float | None) -> str:
    """Format a metric's value; `not measured` for None."""
    if value is None:
        return NOT_MEASURED
    return "0" if abs(value) < ROUND_OFF else number_text(value, digits=4)


def rate_text(value: float | None) -> str:
    """Format a rate or a regret as a percentage; `not measured` for None."""
    return NOT_MEASURED if value is None else share_text(value)


def statistical_lines(report: Report, *, fixed: bool = True) -> list[tuple[str, str]]:
    """Return heading and answer: first the lines that every comparison has, then those of the other swept parameters.

    A single run has nothing to compare with and has no such lines. `fixed` includes parameters with a single value.
    """
    if len(report.data.runs) == 1:
        return []
    lines = [_line(claim) for claim in of_kind(report.claims, ClaimKind.MOST_IMPACTFUL)]
    levels: dict[str, list[Claim]] = {parameter: [] for parameter in ALWAYS_ANSWERED}
    others: list[Claim] = []
    for claim in of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL):
        levels.get(claim.factor.rpartition(".")[2], others).append(claim)
    for parameter, found in levels.items():
        lines += [_line(claim) for claim in found]
        if not found and fixed:
            lines.append((level_heading(parameter), f"not resolved: {_why_not_compared(report.data, parameter)}"))
    return [*lines, *map(_line, others)]


def level_line(data: ExperimentData) -> str:
    """Return the significance level, and the equivalence margin if the plan declares one."""
    analysis = data.analysis
    level = f"significance level {number_text(analysis.alpha)}"
    if analysis.equivalence is None:
        return level
    margin = share_text if analysis.scale == "log" else number_text
    return f"{level}, equivalence margin {margin(analysis.equivalence)}"


MOST_ASKED = 24


def shown_claims(report: Report) -> list[Claim]:
    """Return the claims of a report; of a single run without those that compare parameters."""
    if len(report.data.runs) > 1:
        return list(report.claims)
    return [claim for claim in report.claims if claim.kind is not ClaimKind.MOST_IMPACTFUL]


def asked(report: Report) -> list[Claim]:
    """Return the claims that answer the questions of the experiment, in the order of a report.

    Tests of single cells, of secondary metrics and of the design itself are left to the table of all tests.
    """
    shown = [claim for claim in report.claims if claim.kind in _ASKED and not isinstance(claim.subject, OneCell)]
    return [
        claim for claim in shown if claim.kind is not ClaimKind.MOST_IMPACTFUL or len(report.data.analysis.factors) > 1
    ][:MOST_ASKED]


_ASKED = frozenset(
    {
        ClaimKind.MOST_IMPACTFUL,
        ClaimKind.OPTIMAL_LEVEL,
        ClaimKind.TREND,
        ClaimKind.EQUIVALENCE,
        ClaimKind.DIFFERENCE,
        ClaimKind.THESE_SYSTEMS,
        ClaimKind.SYSTEMS_IN_GENERAL,
        ClaimKind.RANKS,
        ClaimKind.SOURCE,
        ClaimKind.INTERACTION,
        ClaimKind.BEST_CONFIGURATIONS,
        ClaimKind.CONFIRMATION,
        ClaimKind.SFT_AGAINST_BASE,
        ClaimKind.DAGGER_AGAINST_SFT,
        ClaimKind.GRPO_AGAINST_SFT,
        ClaimKind.FAILURES,
    }
)


def _line(claim: Claim) -> tuple[str, str]:
    return claim.heading, one_line(claim.statement)


def _why_not_compared(data: ExperimentData, factor: str) -> str:
    """Say which value a parameter has in every run, or that other parameters vary with it."""
    places = {"lora_rank": [("lora", "rank")]}.get(factor, [(kind, factor) for kind in TRAINING_KINDS])
    values = sorted({_setting(run, factor, *places) for run in data.runs})
    if len(values) > 1:
        return f"confounded with other parameters: {', '.join(values)}"
    return f"{values[0]} in every run" if values else "no training"


def anchor_rows(data: ExperimentData, system: str) -> list[tuple[str, Metrics | None]]:
    """Return the reference controllers of a system, best first, and the untrained base model, with their metrics."""
    found = data.anchors.get(system, {})
    rows: list[tuple[str, Metrics | None]] = [(label, found.get(name)) for name, label in REFERENCES.items()]
    return [*rows, ("base, zero-shot", data.base.get(system))]


def references_of(report: Report, ranked: RankedSystem) -> list[Reference]:
    """Return the reference controllers that have a value of the ranking metric, for figures."""
    rows = [(label, (metrics or {}).get(ranked.metric)) for label, metrics in anchor_rows(report.data, ranked.system)]
    return [Reference(label, value) for label, value in rows if value is not None]


def case_error_text(data: ExperimentData, system: str) -> str:
    """State the standard error of a run's mean error on `system`, given its number of test cases."""
    outcomes = [run.outcomes.get(system) for run in data.runs if run.state.ok]
    finals = [outcome.final for outcome in outcomes if outcome is not None and outcome.final]
    shares = sorted(
        error / mean for m in finals if (error := m["final_error_se"]) is not None and (mean := m["final_error"])
    )
    cases = sorted({int(m["cases"] or 0) for m in finals})
    if not finals:
        return f"standard error of a run's mean error: {NOT_MEASURED}"
    numbers = "/".join(str(count) for count in cases)
    if not shares:
        return f"{numbers} test cases per run: a standard error needs at least two"
    middle = shares[len(shares) // 2]
    return (
        f"Standard error of a run's mean error over its {numbers} test cases: {percent_text(middle)} (largest: "
        f"{percent_text(shares[-1])}); all runs use the same cases"
    )
