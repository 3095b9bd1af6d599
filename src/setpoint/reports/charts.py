"""SVG figures of the HTML report: effects, seeds, levels, failures, trajectories and costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint import plants
from setpoint.analysis.data.claim import Claim, ClaimKind, Status, with_evidence
from setpoint.analysis.data.design import Scale, observe, ordered_levels, swept
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.subject import OneCell
from setpoint.episodes import TRAJECTORIES, EpisodeTrajectory, read_trajectories
from setpoint.errors import InputError
from setpoint.formatting import factor_label, level_text, listed, number_text
from setpoint.reports import scales, svg
from setpoint.reports.content import (
    RankedSystem,
    Report,
    curve_names,
    mean_name,
    metric_text,
    references_of,
    run_at,
    run_at_text,
    short_label,
)
from setpoint.reports.costs import configuration_costs, missing_from, pareto_front

SHOWN_CONFIGURATIONS = 30
SHOWN_EFFECTS = 40
SHOWN_PREDICTIONS = 80
SHOWN_DOTS = 60
WIDTH, HALF, LABELS = 1184.0, 584.0, 330.0
"""Widths in pixels: a full-width figure, one of two side by side, and the row labels."""
MARGIN_ROW = 15.0
SHOWN_PROFILES = 5


REFERENCE_CLASSES = {
    "certified optimum": "c6",
    "clipped LQR": "c2 d1",
    "zero control": "c7 d3",
    "base, zero-shot": "c6 d2",
}
"""CSS classes of the reference lines; the same colours and dashes as in the PNG figures."""

IMPROVEMENTS = frozenset(
    {
        ClaimKind.OPTIMAL_LEVEL,
        ClaimKind.DIFFERENCE,
        ClaimKind.THESE_SYSTEMS,
        ClaimKind.SYSTEMS_IN_GENERAL,
        ClaimKind.SFT_AGAINST_BASE,
        ClaimKind.DAGGER_AGAINST_SFT,
        ClaimKind.GRPO_AGAINST_SFT,
    }
)
"""Kinds of claims whose estimate is an improvement, so that they can share an axis."""


@dataclass(frozen=True)
class Chart:
    """An SVG figure and its caption, which is also its text alternative."""

    caption: str
    body: str


def forest(report: Report) -> Chart | None:
    """Draw the estimate and the interval of every improvement, in percent on a logarithmic scale."""
    logarithmic = report.data.analysis.scale == "log"
    rows = [
        (claim, _percent(claim.estimate), _percent(claim.interval[0]), _percent(claim.interval[1]))
        for claim in report.claims
        if claim.interval is not None and claim.estimate is not None and _drawn(claim)
    ][:SHOWN_EFFECTS]
    if not rows:
        return None
    axis = svg.axis_over([0.0, *(v for _, *values in rows for v in values)], LABELS + 20, WIDTH - 20)
    bottom = 20.0 + 24.0 * len(rows)
    body = svg.bottom_axis(axis, 10, bottom, "improvement [%]" if logarithmic else "improvement")
    body.append(svg.line(axis.at(0.0), 10, axis.at(0.0), bottom, "zero"))
    for row, (claim, value, low, high) in enumerate(rows):
        y = 26.0 + 24.0 * row
        significant = claim.status is Status.SUPPORTED
        body.append(svg.text(LABELS, y + 4, svg.shortened(_effect_label(claim), 50), anchor="end"))
        body.append(svg.line(axis.at(low), y, axis.at(high), y, "reach"))
        body.append(svg.dot(axis.at(value), y, "sure" if significant else "open", 5.0))
    names = "; ".join(_effect_label(claim) for claim, *_ in rows if claim.status is Status.SUPPORTED) or "none"
    caption = (
        "Improvements with simultaneous confidence intervals (filled: significant; hollow: inconclusive; dashed: no "
        f"effect). Significant: {names}."
    )
    return Chart(caption, svg.document(WIDTH, bottom + 40, caption, body))


def _effect_label(claim: Claim) -> str:
    return claim.heading.replace(", mean of all cells", "")


def _drawn(claim: Claim) -> bool:
    return claim.kind in IMPROVEMENTS and not isinstance(claim.subject, OneCell)


def _percent(value: float) -> float:
    """Convert to percent, clipped at −400 % so that one wide interval does not squeeze the others."""
    return max(-400.0, 100.0 * value)


def seeds(report: Report, ranked: RankedSystem) -> Chart | None:
    """Draw every seed of every configuration as a dot, with the mean and its confidence interval."""
    if not ranked.with_result:
        return None
    shown = [r for r in ranked.configurations if r.mean is not None or r.failed][:SHOWN_CONFIGURATIONS]
    values = [v for r in shown for v in (*r.values, *(r.interval or ()))]
    logarithmic = all(v > 0.0 for v in values)
    placed = scales.place_references(values, references_of(report, ranked), logarithmic=logarithmic)
    everything = [*values, *(reference.value for reference in placed.inside)]
    axis = svg.axis_over(everything, LABELS + 20, WIDTH - 90, logarithmic=logarithmic)
    top = 12.0 + MARGIN_ROW * _margin_rows(axis.end - axis.start, placed)
    bottom = top + 10.0 + 22.0 * len(shown)
    metric = report.data.quantity(ranked.metric).label
    body = svg.bottom_axis(axis, top, bottom, metric)
    legend, height = _references(axis, placed, top, bottom)
    body += legend
    for row, result in enumerate(shown):
        y = top + 15.0 + 22.0 * row
        body.append(svg.text(LABELS, y + 4, svg.shortened(short_label(report.data, result), 46), anchor="end"))
        if result.interval is not None:
            body.append(svg.line(axis.at(result.interval[0]), y, axis.at(result.interval[1]), y, "reach"))
        body += [svg.dot(axis.at(value), y) for value in result.values]
        if len(result.values) > 1 and result.mean is not None:
            body.append(svg.line(axis.at(result.mean), y - 8, axis.at(result.mean), y + 8, "mean"))
        if result.failed:
            body.append(svg.text(WIDTH - 80, y + 4, f"{result.failed} failed", classes="failed"))
    first = short_label(report.data, shown[0])
    mean = f"; bar: {mean_name(report.data, ranked)}" if any(len(result.values) > 1 for result in shown) else ""
    interval = "; line: confidence interval" if any(result.interval is not None for result in shown) else ""
    caption = (
        f"{ranked.system}: {metric} of each configuration (dots: seeds{mean}{interval}). "
        f"Lowest: {first}, {number_text(shown[0].mean or 0.0, 4)}."
    )
    return Chart(caption, svg.document(WIDTH, height, caption, body))


def _references(
    axis: svg.Axis, placed: scales.ReferencePlacement, top: float, bottom: float
) -> tuple[list[str], float]:
    """Draw reference lines with a legend, and name those off the axis; return the elements and the height in pixels."""
    body = []
    if placed.below:
        body.append(svg.text(axis.start, top - 10, f"\u2190 {_named(placed.below)}", classes="soft"))
    if placed.above:
        y = top - 10 - MARGIN_ROW * (_margin_rows(axis.end - axis.start, placed) - 1)
        body.append(svg.text(axis.end, y, f"{_named(placed.above)} \u2192", anchor="end", classes="soft"))
    for k, reference in enumerate(placed.inside):
        classes = f"line {REFERENCE_CLASSES[reference.label]}"
        x, y = axis.start + 230.0 * (k % 3), bottom + 54.0 + 18.0 * (k // 3)
        body.append(svg.line(axis.at(reference.value), top, axis.at(reference.value), bottom, classes))
        body += [svg.line(x, y - 4, x + 28, y - 4, classes), svg.text(x + 34, y, _named((reference,)))]
    return body, bottom + 42.0 + 18.0 * -(-len(placed.inside) // 3)


def _margin_rows(width: float, placed: scales.ReferencePlacement) -> int:
    """Return how many lines of text above an axis name the references off its ends: two if one is too narrow."""
    return 2 if placed.below and placed.above and len(_named(placed.below + placed.above)) * 7.0 > width else 1


def _named(references: Sequence[scales.Reference]) -> str:
    return ", ".join(f"{reference.label} {number_text(reference.value)}" for reference in references)


def levels(report: Report) -> list[Chart]:
    """Draw, for each swept parameter, every run of each level as a dot, with the level's mean and its interval."""
    claims = with_evidence(report.claims, LevelEvidence)
    return [_levels(report, claim, found) for claim, found in claims if found.level_intervals]


def _levels(report: Report, claim: Claim, found: LevelEvidence) -> Chart:
    data, factor = report.data, claim.factor
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    values: dict[str, list[float]] = {}
    for o in observe(data, scale):
        if o.value is not None:
            values.setdefault(level_text(o.level(factor)), []).append(scale.natural(o.value))
    means, intervals = found.level_means, found.level_intervals
    shown = list(means)[:SHOWN_CONFIGURATIONS]
    everything = [v for name in shown for v in (*values.get(name, ()), *intervals.get(name, ()))]
    logarithmic = all(v > 0.0 for v in everything)
    references = references_of(report, report.ranked[0]) if len(report.ranked) == 1 else []
    same = len(report.ranked) == 1 and report.ranked[0].metric == scale.quantity.name
    placed = scales.place_references(everything, references if same else [], logarithmic=logarithmic)
    shown_values = [*everything, *(reference.value for reference in placed.inside)]
    axis = svg.axis_over(shown_values, 110, HALF - 90, logarithmic=logarithmic)
    top = 12.0 + MARGIN_ROW * _margin_rows(axis.end - axis.start, placed)
    bottom = top + 10.0 + 26.0 * len(shown)
    best = [level_text(level) for level in found.possibly_best]
    body = svg.bottom_axis(axis, top, bottom, scale.quantity.label)
    legend, height = _references(axis, placed, top, bottom)
    body += legend
    for row, name in enumerate(shown):
        y = top + 16.0 + 26.0 * row
        body.append(svg.text(100, y + 4, svg.shortened(name, 15), anchor="end"))
        body += [svg.dot(axis.at(value), y, "dot faint", 2.5) for value in svg.spaced(values.get(name, []), SHOWN_DOTS)]
        if name in intervals:
            low, high = (axis.at(end) for end in intervals[name])
            body.append(svg.line(low, y, high, y, "reach"))
        body.append(svg.line(axis.at(means[name]), y - 8, axis.at(means[name]), y + 8, "mean"))
        if name in best:
            body.append(svg.text(HALF - 80, y + 4, "near-best", classes="soft"))
    mean = "geometric mean" if scale.logarithmic else "mean"
    caption = (
        f"{scale.quantity.label} by {factor_label(factor)} (dots: runs; bar: {mean} over the other parameters; line: "
        f"its confidence interval). Near-best: {listed(best)}."
    )
    return Chart(caption, svg.document(HALF, height, caption, body))


def profiles(report: Report, ranked: RankedSystem) -> Chart | None:
    """Draw the cumulative distribution of the final error over cases and seeds, for the best and worst."""
    chosen = [*ranked.with_result[:SHOWN_PROFILES], *ranked.with_result[SHOWN_PROFILES:][-1:]]
    curves = []
    for result in chosen:
        outcomes = [run.outcomes[ranked.system] for run in result.runs if run.state.ok]
        errors = [np.asarray(o.cases.values["final_error"]) for o in outcomes if o.cases is not None]
        found = np.sort(np.concatenate(errors)) if errors else np.array([])
        if len(found) and np.isfinite(found).all() and found[0] > 0.0:
            curves.append((short_label(report.data, result), found))
    if not curves:
        return None
    ends = [float(v) for _, found in curves for v in (found[0], found[-1])]
    x_axis = svg.axis_over(ends, 60, HALF - 24, logarithmic=True)
    y_axis = svg.Axis(0.0, 100.0, 240, 30)
    body = [*svg.bottom_axis(x_axis, 30, 240, "final error"), *svg.left_axis(y_axis, 60, HALF - 24, "cases [%]")]
    names = curve_names(report.data, ranked.system)
    names += [name for name, _ in curves if name not in names]
    for k, (name, found) in enumerate(curves):
        shares = 100.0 * np.arange(1, len(found) + 1) / len(found)
        points = [(x_axis.at(float(v)), y_axis.at(float(s))) for v, s in zip(found, shares, strict=True)]
        classes, y = f"line {look(names, name)}", 292 + 18 * k
        body.append(svg.path(svg.thinned(points), classes))
        body += [svg.line(60, y - 4, 90, y - 4, classes), svg.text(96, y, svg.shortened(name, 70))]
    caption = (
        f"{ranked.system}: cumulative distribution of the final error over all cases and seeds, for the best "
        "configurations and the worst. Higher is better."
    )
    return Chart(caption, svg.document(HALF, 288 + 18 * len(curves), caption, body))


def failure_map(report: Report) -> Chart | None:
    """Draw, for each level of each parameter, the share of runs that failed, and name their failure classes."""
    data = report.data
    if not any(run.state.failed for run in data.runs):
        return None
    rows = [(f, level) for f in swept(data) for level in ordered_levels(run.level(f) for run in data.runs)][:40]
    rows = rows or [("", None)]
    axis = svg.Axis(0.0, 100.0, LABELS + 20, WIDTH - 250)
    bottom = 20.0 + 24.0 * len(rows)
    body = svg.bottom_axis(axis, 10, bottom, "failed runs [%]")
    for k, (factor, level) in enumerate(rows):
        y = 26.0 + 24.0 * k
        here = [run for run in data.runs if not factor or run.level(factor) == level]
        ended = [run for run in here if run.state.ok or run.state.failed]
        failed = [run for run in here if run.state.failed]
        share = 100.0 * len(failed) / max(1, len(ended))
        name = f"{factor_label(factor)} {level_text(level)}" if factor else "all runs"
        body.append(svg.text(LABELS, y + 4, svg.shortened(name, 46), anchor="end"))
        body.append(svg.rectangle(axis.start, y - 7, axis.at(share) - axis.start, 14, "bad", 0.75))
        classes = [run.failure.failure_class if run.failure else "unknown" for run in failed]
        words = ", ".join(f"{classes.count(c)} {c}" for c in dict.fromkeys(classes))
        label = f"{len(failed)}/{len(ended)}{': ' if words else ''}{words}"
        body.append(svg.text(axis.at(share) + 6, y + 4, svg.shortened(label, 40)))
    caption = "Share of failed runs by parameter level, with failed/finished runs and their failure classes."
    return Chart(caption, svg.document(WIDTH, bottom + 40, caption, body))


def look(names: Sequence[str], name: str) -> str:
    """Return the CSS classes for a line's colour and dashes; 40 combinations are distinct."""
    place = names.index(name)
    return f"c{place % 8} d{place // 8 % 5}"


def trajectories(report: Report, ranked: RankedSystem) -> list[Chart]:
    """Draw the best and the worst run of a system against optimal control, on the first test case."""
    if ranked.system not in plants.names():
        return []
    ends = [(place, run) for place in ("best", "worst") if (run := run_at(report, ranked, place)) is not None]
    if len(ends) == 2 and ends[0][1] is ends[1][1]:
        ends = ends[:1]
    charts = [_trajectory(report, ranked, run, place) for place, run in ends]
    return [chart for chart in charts if chart is not None]


def _trajectory(report: Report, ranked: RankedSystem, run: RunResult, place: str) -> Chart | None:
    data, system = report.data, ranked.system
    mode = data.analysis.mode(system).episodes
    learned = _first_case(report, "evaluate", run.evaluation(system), "llm", mode, system)
    reference = data.plan.shared.reference.get(system)
    optimal = _first_case(report, "reference", reference, "optimum", None, system) if reference else None
    if learned is None:
        return None
    plant = plants.get(system)
    signals = [*plant.states, *plant.controls]
    body: list[str] = []
    for k, signal in enumerate(signals):
        top = 34.0 + 130.0 * k
        drawn = [("line c0", _signal(learned, k, len(plant.states)))]
        if optimal is not None and optimal.case_id == learned.case_id:
            drawn.append(("line optimum", _signal(optimal, k, len(plant.states))))
        times = svg.axis_over([t for _, points in drawn for t, _ in points], 60, HALF - 24)
        axis = svg.axis_over([v for _, points in drawn for _, v in points], top + 100, top)
        body += svg.left_axis(axis, 60, HALF - 24, f"{signal.name} [{signal.unit or '1'}]")
        for bound in (signal.lower, signal.upper):
            if math.isfinite(bound) and axis.low < bound < axis.high:
                body.append(svg.line(60, axis.at(bound), HALF - 24, axis.at(bound), "bound"))
        body += [svg.path([(times.at(t), axis.at(v)) for t, v in points], classes) for classes, points in drawn]
        if k == len(signals) - 1:
            body += svg.bottom_axis(times, top + 100, top + 100, "time [s]")
    value = (run.outcomes[system].final or {}).get(ranked.metric)
    dashed = "" if optimal is None else "; dashed: optimal control"
    caption = (
        f"{system}: {run_at_text(place)} ({svg.shortened(run.name, 60)}, "
        f"{report.data.quantity(ranked.metric).label} {metric_text(value)}), test case {learned.case_id}{dashed}."
    )
    return Chart(caption, svg.document(HALF, 34 + 130 * len(signals) + 30, caption, body))


def _first_case(
    report: Report, kind: str, stage: str, controller: str, mode: str | None, system: str
) -> EpisodeTrajectory | None:
    """Return the trajectory of the first case; None if the file is missing or damaged."""
    try:
        rows = read_trajectories(report.data.workspace.stage(kind, stage).path / TRAJECTORIES)
    except InputError:
        return None
    found = [r for r in rows if r.controller == controller and r.system == system and mode in {None, r.mode}]
    return min(found, key=lambda row: row.case_id, default=None)


def _signal(trajectory: EpisodeTrajectory, k: int, n_x: int) -> list[tuple[float, float]]:
    """Return (time, value) points of a signal: a state as samples, a control as a zero-order-hold staircase."""
    rows = trajectory.states if k < n_x else trajectory.controls
    values = [row[k if k < n_x else k - n_x] for row in rows]
    points = [(trajectory.dt_s * step, value) for step, value in enumerate(values) if math.isfinite(value)]
    if k < n_x:
        return points
    return [corner for t, value in points for corner in ((t, value), (t + trajectory.dt_s, value))]


def predicted_costs(data: ExperimentData) -> Chart | None:
    """Draw the measured against the predicted CPU time of each stage, with the prediction interval."""
    done = () if data.forecast is None else data.forecast.finished
    measured = [(p, p.measured_s) for p in done if p.measured_s is not None]
    found = [(p, used) for p, used in measured if min(p.expected_s, used, *p.interval_s) > 0.0]
    if not found:
        return None
    shown = [found[int(k)] for k, _ in svg.thinned([(float(k), 0.0) for k in range(len(found))], SHOWN_PREDICTIONS)]
    values = [v for p, used in shown for v in (used, p.expected_s, *p.interval_s)]
    x_axis = svg.axis_over(values, 70, HALF - 110, logarithmic=True)
    y_axis = svg.axis_over(values, 360, 30, logarithmic=True)
    body = [
        *svg.bottom_axis(x_axis, 30, 360, "predicted CPU time [s]"),
        *svg.left_axis(y_axis, 70, HALF - 110, "measured CPU time [s]"),
    ]
    body.append(svg.path([(70.0, 360.0), (HALF - 110, 30.0)], "zero"))
    kinds = list(dict.fromkeys(p.kind for p, _ in shown))
    for p, used in shown:
        low, high = (x_axis.at(end) for end in p.interval_s)
        y, colour = y_axis.at(used), f"c{kinds.index(p.kind) % 8}"
        body += [svg.line(low, y, high, y, f"line thin {colour}"), svg.dot(x_axis.at(p.expected_s), y, f"dot {colour}")]
    for k, kind in enumerate(kinds[:8]):
        body += [svg.dot(HALF - 90, 40 + 18 * k, f"dot c{k}"), svg.text(HALF - 80, 44 + 18 * k, kind)]
    caption = (
        "Measured against predicted CPU time (dots: stages; line: prediction interval; dashed: measured equals "
        "predicted)."
    )
    return Chart(caption, svg.document(HALF, 400, caption, body))


def pareto(report: Report, ranked: RankedSystem) -> Chart | None:
    """Draw the mean error against the measured cost of each configuration, and name those on the Pareto front."""
    costs = configuration_costs(ranked)
    if len(costs) < 2:
        return None
    unit = costs[0].unit
    logarithmic = all(cost.error > 0.0 for cost in costs)
    x_axis = svg.axis_over([cost.hours for cost in costs], 70, HALF - 24)
    y_axis = svg.axis_over([cost.error for cost in costs], 280, 30, logarithmic=logarithmic)
    metric = report.data.quantity(ranked.metric).label
    body = [*svg.bottom_axis(x_axis, 30, 280, f"cost per run [{unit}]"), *svg.left_axis(y_axis, 70, HALF - 24, metric)]
    front = pareto_front(costs)
    for cost in costs:
        body.append(svg.dot(x_axis.at(cost.hours), y_axis.at(cost.error), "sure" if cost in front else "dot", 4.5))
    for cost in front[:8]:
        x, y = x_axis.at(cost.hours), y_axis.at(cost.error)
        right = x > HALF / 2
        label = svg.shortened(short_label(report.data, cost.result), 44)
        body.append(svg.text(x - 7 if right else x + 7, y - 6, label, anchor="end" if right else "start"))
    names = "; ".join(short_label(report.data, c.result) for c in front[:8])
    caption = f"{ranked.system}: {metric} against cost{missing_from(costs)}. Green: Pareto front ({names})."
    return Chart(caption, svg.document(HALF, 330, caption, body))
