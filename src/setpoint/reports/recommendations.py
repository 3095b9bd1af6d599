"""Recommendations: what to do next, derived only from claims and counts."""

import shlex

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, of_kind, with_evidence
from setpoint.analysis.data.evidence import ArmEvidence, BestSetEvidence, ImpactEvidence, LevelEvidence
from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.subject import OneFactor
from setpoint.formatting import counted, factor_label, level_text, listed
from setpoint.records.failure import FailureClass
from setpoint.records.state import RunStatus
from setpoint.reports.content import Report, counts, failure_counts, one_line, short_label
from setpoint.reports.costs import configuration_costs
from setpoint.reports.more_seeds import more_seeds
from setpoint.reports.remedies import suggested_change
from setpoint.reports.stage_effects import (
    SMALL,
    StageEffect,
    cell_label,
    cell_name,
    range_text,
    stage_effects,
    worst_text,
)

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
        *_harmful_stages(report),
        *_confirm(report),
        *more_seeds(report),
        *_narrow(report),
        *_cheapest(report),
        *_failing_levels(report),
        *_failure_classes(report),
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
    """Recommend configurations, else levels, that are significantly better than all others."""
    advice = [
        f"Use {one_line(short_label(report.data, ranked.with_result[0]))} on {one_line(ranked.system)}: {claim.reason}."
        for ranked in report.ranked
        if (claim := report.claim(ClaimKind.BEST_CONFIGURATIONS, system=ranked.system)) is not None
        and claim.status is Status.SUPPORTED
    ]
    supported = [c for c in of_kind(report.claims, ClaimKind.OPTIMAL_LEVEL) if c.status is Status.SUPPORTED]
    return advice + [_use_level(report, claim) for claim in supported]


def _use_level(report: Report, claim: Claim) -> str:
    """Recommend a level; where the best configuration has another one, recommend the configuration instead."""
    found = claim.evidence
    level = found.observed_best if isinstance(found, LevelEvidence) else None
    others = [
        f"{level_text(other)} on {one_line(ranked.system)}"
        for ranked in report.ranked
        if ranked.with_result and (other := ranked.with_result[0].levels.get(claim.factor, level)) != level
    ]
    if others:
        return (
            f"Use the best configuration as a whole: {claim.factor} = {level_text(level)} is best on average, but the "
            f"best configuration has {listed(others)}."
        )
    return f"Use {claim.factor} = {one_line(claim.statement)}: {claim.reason}."


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
    if any(r.with_result and r.with_result[0].levels.get(parameter, best) != best for r in report.ranked):
        return []  # the best configuration has another level
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
    """Advise on stages that made results worse: name the parameter, and respect the best configuration."""
    effects = stage_effects(report.claims, relative=report.data.analysis.scale == "log")
    return [_against(report, effect) for effect in effects if _harms(effect)]


def _harms(effect: StageEffect) -> bool:
    """Return whether a stage is significantly worse than none, on average or in a cell."""
    shown = {Status.SUPPORTED, Status.SUGGESTIVE} if effect.differs else {Status.SUPPORTED}
    return any(
        claim.status in allowed and (claim.estimate or 0.0) < 0.0
        for claim, allowed in [(effect.overall, shown), *((cell, {Status.SUPPORTED}) for cell in effect.cells)]
    )


def _against(report: Report, effect: StageEffect) -> str:
    stage, system = effect.stage, one_line(effect.overall.system or "")
    rate = f"the learning rate of {stage} ({stage.lower()}.learning_rate)"
    worst = effect.parameter()
    gain, best = _gain_of_best(report, effect)
    if not effect.differs:
        drop = "" if gain is not None and gain > 0.0 else ", or drop the stage"
        return f"Lower {rate} on {system}{drop}: {one_line(effect.overall.statement)}.{best}"
    if worst is None:
        return f"Lower {rate} on {system}: {range_text(effect)}.{best}"
    name, level = worst
    where = f"at {factor_label(name)} {level}"
    change = (
        f"Lower {rate} on {system} {where}" if name.endswith("learning_rate") else f"Avoid {stage} on {system} {where}"
    )
    return f"{change}, where it did most harm ({worst_text(effect)}).{best}"


def _gain_of_best(report: Report, effect: StageEffect) -> tuple[float | None, str]:
    """Return what the stage did to the best configuration, and a sentence if it should be kept there."""
    ranked = next((r for r in report.ranked if r.system == effect.overall.system and r.with_result), None)
    if ranked is None:
        return None, ""
    cell = cell_name(ranked.with_result[0].levels)
    gain = effect.estimate_of(cell)
    if gain is None or gain <= -SMALL:
        return gain, ""
    return gain, f" It did no harm to the best configuration ({one_line(cell_label(cell))}): keep it there."
