"""What to do next, derived from claims and counts only."""

import shlex

from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.formatting import counted, factor_label, level_text, listed
from setpoint.records.failure import FailureClass
from setpoint.reports.content import Report, counts, failure_counts, one_line
from setpoint.reports.costs import configuration_costs
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
        *_replicate(report),
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


def _level_claims(report: Report) -> list[Claim]:
    return [claim for claim in report.claims if claim.id.startswith("optimal_level:")]


def _use(report: Report) -> list[str]:
    """Levels that are shown to be best."""
    return [
        f"Use {claim.details['parameter']} = {one_line(claim.statement)}: {claim.reason}."
        for claim in _level_claims(report)
        if claim.status is Status.SUPPORTED
    ]


def _better_arms(report: Report) -> list[str]:
    """Model types, strategies or starting points that are shown to be better."""
    return [
        f"Prefer {claim.details['better']} ({claim.heading}): {one_line(claim.statement)}."
        for claim in report.claims
        if claim.id.startswith(("difference:", "these_systems:")) and claim.status is Status.SUPPORTED
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
        claim = report.claim(f"best_configurations:{ranked.system}")
        chosen = [] if claim is None else claim.details.get("possibly_best", [])
        if 1 <= len(chosen) <= LARGEST_CONFIRMATION:
            counts_by_system[ranked.system] = len(chosen)
    if not counts_by_system:
        return []
    top = max(counts_by_system.values())
    subject = "best configuration" if top == 1 else f"{top} best configurations"
    where = listed([one_line(system) for system in counts_by_system])
    command = shlex.join(["setpoint", "experiment", "confirm", report.data.id, "--top", str(top), "--seeds", "5"])
    return [f"Confirm the {subject} on {where} with fresh seeds, whose numbers alone are unbiased: {command}"]


def _replicate(report: Report) -> list[str]:
    """More seeds, where a question is open that they would settle; what none would settle is told too."""
    unresolved = [claim for claim in _level_claims(report) if claim.status is not Status.SUPPORTED]
    resolution = report.claim("resolution")
    seeds = max((len(result.runs) for ranked in report.ranked for result in ranked.configurations), default=0)
    if not unresolved:
        return []
    if resolution is None or resolution.estimate is None:
        names = listed([factor_label(claim.id.partition(":")[2]) for claim in unresolved])
        wanted = max(3, seeds + 2)
        return [
            f"Run the same design with --replicates {wanted}: {names} could not be judged "
            f"({unresolved[0].reason}), and {wanted} seeds per configuration measure the spread."
        ]
    parameters = [claim.details["parameter"] for claim in unresolved if "parameter" in claim.details]
    details = resolution.details
    settling = {factor: _seeds_to_show(resolution, factor, seeds, details["observed"][factor]) for factor in parameters}
    open_still = [factor for factor in parameters if settling[factor] is None]
    possible = {f: _seeds_to_show(resolution, f, seeds, details["allowed"][f]) for f in open_still}
    more = {f: n for f in parameters if (n := settling[f] or possible.get(f)) is not None}
    advice = []
    if more:
        most = max(more.values())
        reasons = []
        if affordable := [factor for factor in more if settling[factor] is not None]:
            reasons.append(f"as seen, {listed([_seen(resolution, factor) for factor in affordable])}")
        reasons += [
            f"{_seen(resolution, factor)} as seen, but by up to {details['allowed_in_words'][factor]} as far as the "
            "intervals say"
            for factor in more
            if settling[factor] is None
        ]
        shown = listed([details["in_words"][factor][str(most)] for factor in more])
        advice.append(
            f"Run the same design with --replicates {most}: {'; '.join(reasons)}; and {most} seeds show differences "
            f"from {shown} (80 % power)."
        )
    hopeless = [factor for factor in parameters if factor not in more]
    if hopeless:
        best_words = [list(details["in_words"][factor].values())[-1] for factor in hopeless]
        count = list(details["in_words"][hopeless[0]])[-1]
        differ = listed([_seen(resolution, factor) for factor in hopeless])
        bounds = listed([details["allowed_in_words"][factor] for factor in hopeless])
        advice.append(
            f"Do not expect more seeds to settle {listed([factor_label(factor) for factor in hopeless])}: as seen, "
            f"{differ}, the intervals exclude more than {bounds}, and even {count} seeds show differences only from "
            f"{listed(best_words)}. Take any of the levels that may be best, or the cheapest."
        )
    return advice


def _seen(resolution: Claim, factor: str) -> str:
    difference = resolution.details["observed_in_words"][factor]
    return f"the best {factor_label(factor)} and the next differ by {difference}"


def _seeds_to_show(resolution: Claim, factor: str, seeds: int, difference: float | None) -> int | None:
    """The fewest of the seeds considered, more than there are, that would show such a difference, if any would."""
    found = resolution.details["by_seeds"].get(factor, {})
    enough = [
        int(count)
        for count, smallest in found.items()
        if int(count) > seeds and difference is not None and smallest <= difference
    ]
    return min(enough, default=None)


def _narrow(report: Report) -> list[str]:
    """A finer sweep of the parameter that matters most, around its best level."""
    claim = report.claim("most_impactful")
    if claim is None or claim.status is not Status.SUPPORTED:
        return []
    parameter = claim.details["parameter"]
    levels = sorted({run.level(parameter) for run in report.data.runs}, key=str)
    if any(isinstance(level, bool) or not isinstance(level, int | float) for level in levels):
        return []
    numbers = sorted(float(level) for level in levels if isinstance(level, int | float))
    level_claim = report.claim(f"optimal_level:{parameter}")
    best = None if level_claim is None else level_claim.details.get("observed_best")
    if best not in {numbers[0], numbers[-1]}:
        return [f"Sweep {parameter} more finely around {level_text(best)}: it has the largest effect of all."]
    side = "below" if best == numbers[0] else "above"
    edge = f"{level_text(best)}, its best level so far and the edge of the sweep"
    return [f"Extend {parameter} {side} {edge}: it has the largest effect of all."]


def _failing_levels(report: Report) -> list[str]:
    return [
        f"Avoid or mend {claim.details['parameter']} where it fails: {one_line(claim.statement)}."
        for claim in report.claims
        if claim.id.startswith("failures:") and claim.status is Status.SUPPORTED
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
        f"Drop or change this stage on {claim.details['system']}: {one_line(claim.statement)}."
        for claim in report.claims
        if claim.id.startswith(("sft_against_base:", "grpo_against_sft:"))
        and not claim.details.get("cell")
        and claim.status is Status.SUPPORTED
        and (claim.estimate or 0.0) < 0.0
    ]
