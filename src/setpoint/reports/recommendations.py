"""Recommendations: what to do next, derived only from claims and counts."""

import shlex

from setpoint.analysis.data.claim import ClaimKind, Status, of_kind, with_evidence
from setpoint.analysis.data.evidence import ArmEvidence, BestSetEvidence, ImpactEvidence, LevelEvidence
from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.subject import OneFactor
from setpoint.formatting import counted, level_text, listed
from setpoint.records.failure import FailureClass
from setpoint.records.state import RunStatus
from setpoint.reports.content import Report, counts, failure_counts, one_line
from setpoint.reports.costs import configuration_costs
from setpoint.reports.more_seeds import more_seeds
from setpoint.reports.remedies import suggested_change

_STAGES = {
    ClaimKind.SFT_AGAINST_BASE: "SFT",
    ClaimKind.DAGGER_AGAINST_SFT: "DAgger",
    ClaimKind.GRPO_AGAINST_SFT: "GRPO",
}
LARGEST_CONFIRMATION = 6
"""At most this many near-best configurations are confirmed; beyond, more seeds for all are cheaper."""


def recommendations(report: Report) -> list[str]:
    """Return the advice with its reasons, most useful first."""
    _, successful, _ = counts(report.data)
    pending = sum(run.pending for run in report.data.runs)
    if pending:
        return [_until_the_end(report, pending), *_failure_classes(report)]
    if not successful:
        return [_after_total_failure(report)]
    advice = [
        *_use(report),
        *_better_arms(report),
        *_cheapest(report),
        *_confirm(report),
        *more_seeds(report),
        *_narrow(report),
        *_failing_levels(report),
        *_failure_classes(report),
        *_harmful_stages(report),
    ]
    return advice or [
        "Sweep a parameter with at least 3 replicates: a single configuration has nothing to compare with."
    ]


def _until_the_end(report: Report, pending: int) -> str:
    """Advise to wait or to resume; comparisons follow when all runs have ended."""
    left = f"{pending} of {counted(len(report.data.runs), 'run')} not finished"
    if report.running:
        return f"Wait for the running experiment ({left}). Further recommendations follow when it has ended."
    command = shlex.join(["setpoint", "experiment", "resume", report.data.id])
    return f"Resume the experiment ({left}; further recommendations follow when it has ended): {command}"


def _after_total_failure(report: Report) -> str:
    classes = ", ".join(f"{name} {number}" for name, number in failure_counts(report.data).items())
    suggestions = {suggested_change(run) for run in report.data.runs if run.failure}
    remedy = f" Suggested: {one_line('; '.join(sorted(suggestions)))}." if suggestions else ""
    if all(name.policy.final for name in failure_counts(report.data)):
        return (
            f"Start a new experiment with other values: no run succeeded ({classes}), and a retry with the same values "
            f"would fail again. failures.md has the evidence.{remedy}"
        )
    return f"Fix the failures first: no run succeeded ({classes}). failures.md has the evidence.{remedy}"


def _use(report: Report) -> list[str]:
    """Recommend levels that are significantly better than all others."""
    return [
        f"Use {claim.factor} = {one_line(claim.statement)}: {claim.reason}."
        for claim in of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL)
        if claim.status is Status.SUPPORTED
    ]


def _better_arms(report: Report) -> list[str]:
    """Recommend model types, strategies or starting points that are significantly better."""
    return [
        f"Prefer {found.better} ({claim.heading}): {one_line(claim.statement)}."
        for claim, found in with_evidence(report.claims, ArmEvidence)
        if claim.kind is not ClaimKind.SYSTEMS_IN_GENERAL and claim.status is Status.SUPPORTED
    ]


def _cheapest(report: Report) -> list[str]:
    """Recommend the cheapest near-best configuration, without its name: that depends on measured times."""
    sets = {ranked.system: sum(cost.possibly_best for cost in configuration_costs(ranked)) for ranked in report.ranked}
    tied = [f"{count} on {one_line(system)}" for system, count in sets.items() if count >= 2]
    if not tied:
        return []
    return [
        f"If cost matters, use the cheapest near-best configuration (statistically tied: {listed(tied)}). Resource "
        "Usage names it."
    ]


def _confirm(report: Report) -> list[str]:
    """Recommend new seeds for near-best configurations: only their scores are free of selection bias."""
    if report.data.type != "hyperparameter_sweep":
        return []
    counts_by_system = {}
    for ranked in report.ranked:
        claim = report.claim(ClaimKind.BEST_CONFIGURATIONS, system=ranked.system)
        if claim is not None and isinstance(claim.evidence, BestSetEvidence):
            chosen = claim.evidence.possibly_best
            if 1 <= len(chosen) <= LARGEST_CONFIRMATION:
                counts_by_system[ranked.system] = len(chosen)
    if not counts_by_system:
        return []
    top = max(counts_by_system.values())
    subject = "best configuration" if top == 1 else f"{top} best configurations"
    where = listed([one_line(system) for system in counts_by_system])
    command = shlex.join(["setpoint", "experiment", "confirm", report.data.id, "--top", str(top), "--seeds", "5"])
    return [f"Confirm the {subject} on {where} with new seeds (scores free of selection bias): {command}"]


def _narrow(report: Report) -> list[str]:
    """Recommend a finer or wider sweep of the most impactful parameter, around its best level."""
    claim = report.claim(ClaimKind.MOST_IMPACTFUL)
    if claim is None or claim.status is not Status.SUPPORTED or not isinstance(claim.evidence, ImpactEvidence):
        return []
    parameter = claim.evidence.parameter
    levels = sorted({run.level(parameter) for run in report.data.runs}, key=str)
    if any(isinstance(level, bool) or not isinstance(level, int | float) for level in levels):
        return []
    numbers = sorted(float(level) for level in levels if isinstance(level, int | float))
    levels_claim = report.claim(ClaimKind.OPTIMAL_LEVEL, subject=OneFactor(parameter))
    found = None if levels_claim is None else levels_claim.evidence
    best = found.observed_best if isinstance(found, LevelEvidence) else None
    if best not in {numbers[0], numbers[-1]}:
        return [f"Sweep {parameter} more finely around {level_text(best)}: it has the largest effect."]
    side = "below" if best == numbers[0] else "above"
    edge = f"{side} {level_text(best)}, where its best level lies at the edge"
    return [f"Extend the sweep of {parameter} {edge}: it has the largest effect."]


def _failing_levels(report: Report) -> list[str]:
    return [
        f"Avoid {claim.factor} at the levels where runs fail, or fix the cause: {one_line(claim.statement)}."
        for claim in of_kind(report.claims, ClaimKind.FAILURES)
        if claim.status is Status.SUPPORTED
    ]


def _failure_classes(report: Report) -> list[str]:
    """Advise a change for each failure class, taken from its first run."""
    found: dict[FailureClass, list[RunResult]] = {}
    for run in report.data.runs:
        if run.state.failed and run.failure is not None and run.state is not RunStatus.BLOCKED:
            found.setdefault(run.failure.failure_class, []).append(run)
    return [_failure_advice(name, runs) for name, runs in found.items()]


def _failure_advice(name: FailureClass, runs: list[RunResult]) -> str:
    change = f"{one_line(suggested_change(runs[0]))} (for {one_line(runs[0].name)}; failures.md lists all)"
    count = f"{counted(len(runs), 'run')} of class {one_line(name)}"
    if name.policy.final:
        return f"Start a new experiment to replace {count} (a retry would fail again). Suggested change: {change}."
    return f"Change this before you retry {count}: {change}."


def _harmful_stages(report: Report) -> list[str]:
    """Advise against stages that made the result worse on average over a system's configurations."""
    return [
        f"Lower the learning rate of {_STAGES[claim.kind]} on {claim.system}, or drop the stage: "
        f"{one_line(claim.statement)}."
        for claim in of_kind(report.claims, *_STAGES)
        if claim.subject is None and claim.status is Status.SUPPORTED and (claim.estimate or 0.0) < 0.0
    ]
