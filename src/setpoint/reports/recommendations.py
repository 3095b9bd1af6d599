"""What to do next, derived from claims and counts only."""

import shlex

from setpoint.analysis.data.claim import ClaimKind, Status, of_kind, with_evidence
from setpoint.analysis.data.evidence import ArmEvidence, BestSetEvidence, ImpactEvidence, LevelEvidence
from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.subject import OneFactor
from setpoint.formatting import counted, level_text, listed
from setpoint.records.failure import FailureClass
from setpoint.reports.content import Report, counts, failure_counts, one_line
from setpoint.reports.costs import configuration_costs
from setpoint.reports.more_seeds import more_seeds
from setpoint.reports.remedies import suggested_change

LARGEST_CONFIRMATION = 6
"""Configurations up to which confirming them is cheaper than more seeds for all."""


def recommendations(report: Report) -> list[str]:
    """Numbered advice, the most useful first; each with its reason."""
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
    return advice or ["Nothing was compared: sweep a parameter, with at least 3 replicates, to learn what matters."]


def _until_the_end(report: Report, pending: int) -> str:
    """What to do while results are to come; what they would be compared by waits for them."""
    left = f"{pending} of {counted(len(report.data.runs), 'run')} without a result yet"
    if report.running:
        return f"Wait: the experiment is running, with {left}. Nothing else is recommended before it ends."
    command = shlex.join(["setpoint", "experiment", "resume", report.data.id])
    return f"Resume the experiment, which has {left}: {command} (nothing else is recommended before it ends)"


def _after_total_failure(report: Report) -> str:
    classes = ", ".join(f"{name} {number}" for name, number in failure_counts(report.data).items())
    suggestions = {suggested_change(run) for run in report.data.runs if run.failure}
    remedy = f" Suggested: {one_line('; '.join(sorted(suggestions)))}." if suggestions else ""
    if all(name.policy.final for name in failure_counts(report.data)):
        return (
            f"Start a new experiment with other values: no run succeeded ({classes}), and a retry, which keeps the "
            f"values, would fail again; failures.md has the evidence.{remedy}"
        )
    return (
        f"Mend the failures before anything else: no run succeeded ({classes}); failures.md has the evidence.{remedy}"
    )


def _use(report: Report) -> list[str]:
    """Levels that are shown to be best."""
    return [
        f"Use {claim.factor} = {one_line(claim.statement)}: {claim.reason}."
        for claim in of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL)
        if claim.status is Status.SUPPORTED
    ]


def _better_arms(report: Report) -> list[str]:
    """Model types, strategies or starting points that are shown to be better."""
    return [
        f"Prefer {found.better} ({claim.heading}): {one_line(claim.statement)}."
        for claim, found in with_evidence(report.claims, ArmEvidence)
        if claim.kind is not ClaimKind.SYSTEMS_IN_GENERAL and claim.status is Status.SUPPORTED
    ]


def _cheapest(report: Report) -> list[str]:
    """Of configurations that cannot be told apart the cheapest. Which that is depends on clocks; the costs name it."""
    sets = {ranked.system: sum(cost.possibly_best for cost in configuration_costs(ranked)) for ranked in report.ranked}
    tied = [f"{count} on {one_line(system)}" for system, count in sets.items() if count >= 2]
    if not tied:
        return []
    return [
        f"Where cost matters, take the cheapest of the configurations that may be best ({listed(tied)}): it is named "
        "under Resource Usage, and none of the others is shown to be better."
    ]


def _confirm(report: Report) -> list[str]:
    """Fresh seeds for those that may be best: only their numbers are not flattered by having been chosen."""
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
    return [f"Confirm the {subject} on {where} with fresh seeds, whose numbers alone are unbiased: {command}"]


def _narrow(report: Report) -> list[str]:
    """A finer sweep of the parameter that matters most, around its best level."""
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
        return [f"Sweep {parameter} more finely around {level_text(best)}: it has the largest effect of all."]
    side = "below" if best == numbers[0] else "above"
    edge = f"{level_text(best)}, its best level so far and the edge of the sweep"
    return [f"Extend {parameter} {side} {edge}: it has the largest effect of all."]


def _failing_levels(report: Report) -> list[str]:
    return [
        f"Avoid or mend {claim.factor} where it fails: {one_line(claim.statement)}."
        for claim in of_kind(report.claims, ClaimKind.FAILURES)
        if claim.status is Status.SUPPORTED
    ]


def _failure_classes(report: Report) -> list[str]:
    """For each class of failure what to change, as the first run of it says."""
    found: dict[FailureClass, list[RunResult]] = {}
    for run in report.data.runs:
        if run.state.failed and run.failure is not None and run.state != "blocked":
            found.setdefault(run.failure.failure_class, []).append(run)
    return [_failure_advice(name, runs) for name, runs in found.items()]


def _failure_advice(name: FailureClass, runs: list[RunResult]) -> str:
    change = f"{one_line(suggested_change(runs[0]))} (as for {one_line(runs[0].name)}; failures.md has each)"
    count = f"{counted(len(runs), 'run')} of class {one_line(name)}"
    if name.policy.final:
        return f"Start a new experiment for {count}, which a retry with the same values would not help: {change}."
    return f"Before trying {count} again, change: {change}."


def _harmful_stages(report: Report) -> list[str]:
    """Stages that made the result worse on average over a system's cells."""
    return [
        f"Drop or change this stage on {claim.system}: {one_line(claim.statement)}."
        for claim in of_kind(report.claims, ClaimKind.SFT_AGAINST_BASE, ClaimKind.GRPO_AGAINST_SFT)
        if claim.subject is None and claim.status is Status.SUPPORTED and (claim.estimate or 0.0) < 0.0
    ]
