"""Figures of effects: one panel per plant with a row per question, and the levels of each parameter."""

from collections.abc import Sequence
from statistics import geometric_mean, mean

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, with_evidence
from setpoint.analysis.data.design import Scale, observe
from setpoint.analysis.data.evidence import LevelEvidence
from setpoint.analysis.data.subject import OneCell
from setpoint.formatting import factor_label, level_text, listed, p_text
from setpoint.reports.content import Report
from setpoint.reports.figures.spec import (
    BLUE,
    GREEN,
    GREY,
    RED,
    Figure,
    Row,
    Spec,
    number_axis,
    rows_panel,
    rule_at,
    tip,
)
from setpoint.reports.modes import mode_text
from setpoint.reports.stage_effects import DIFFERS, cell_label, stage_effects

SHOWN_EFFECTS = 30
SHOWN_LEVELS = 20
SHOWN_DOTS = 60
ALL = "all plants"
IMPROVEMENTS = frozenset(
    {
        ClaimKind.OPTIMAL_LEVEL,
        ClaimKind.DIFFERENCE,
        ClaimKind.THESE_SYSTEMS,
        ClaimKind.SYSTEMS_IN_GENERAL,
        ClaimKind.BEST_CONFIGURATIONS,
        ClaimKind.SFT_AGAINST_BASE,
        ClaimKind.DAGGER_AGAINST_SFT,
        ClaimKind.GRPO_AGAINST_SFT,
    }
)
"""Kinds of claims whose estimate is an improvement, so that they can share an axis."""


def effects(report: Report) -> list[Figure]:
    """Draw the estimate and the interval of every improvement as a ratio of errors, one figure per plant.

    Claims about no single plant have a figure of their own; plants with other primary modes share no axis.
    """
    shown = _shown(report)
    places = dict.fromkeys(_place(report, claim) for claim in shown)
    return [_effects(report, place, [c for c in shown if _place(report, c) == place]) for place in places]


def _place(report: Report, claim: Claim) -> str:
    return claim.system or (report.data.systems[0] if len(report.data.systems) == 1 else ALL)


def _shown(report: Report) -> list[Claim]:
    """Return the claims with an interval; single cells only where the effect differs between them, and then first."""
    effects_of_stages = stage_effects(report.claims, relative=report.data.analysis.scale == "log")
    unlike = {effect.overall.id: effect for effect in effects_of_stages if effect.differs}
    shown: list[Claim] = []
    for claim in report.claims:
        if claim.kind in IMPROVEMENTS and not isinstance(claim.subject, OneCell):
            shown += unlike[claim.id].by_size() if claim.id in unlike else []
            shown.append(claim)
    return [claim for claim in shown if claim.interval is not None and claim.estimate is not None]


def _effects(report: Report, place: str, claims: Sequence[Claim]) -> Figure:
    logarithmic = report.data.analysis.scale == "log"
    rows = [_effect_row(k, claim, logarithmic) for k, claim in enumerate(claims[:SHOWN_EFFECTS])]
    title = "error after / error before" if logarithmic else "improvement"
    axis = number_axis(title, logarithmic=logarithmic)
    significant = listed([row["label"] for row in rows if row["status"] == "significant"]) or "none"
    where = "" if place == ALL else f", {mode_text(report.data.analysis.mode(place).episodes)}"
    better = "left of 1 is better" if logarithmic else "right of 0 is better"
    caption = (
        f"Effects on {place}{where}: estimates with simultaneous confidence intervals ({better}; filled: significant; "
        f"hollow: inconclusive). Significant: {significant}."
    )
    tooltip = [tip("label", "question"), tip("answer"), tip("p"), tip("runs")]
    filled: Spec = {"condition": {"test": "datum.status === 'significant'", "value": GREEN}, "value": "transparent"}
    values = {"data": {"values": rows}}
    layers: list[Spec] = [
        {
            **values,
            "mark": {"type": "rule", "strokeWidth": 1.6, "color": GREY},
            "encoding": {"x": {**axis, "field": "low"}, "x2": {"field": "high"}, "tooltip": tooltip},
        },
        {
            **values,
            "mark": {"type": "point", "size": 90, "strokeWidth": 2, "stroke": GREEN, "opacity": 1},
            "encoding": {"x": {**axis, "field": "value"}, "fill": filled, "tooltip": tooltip},
        },
        rule_at(1.0 if logarithmic else 0.0, axis, color=GREY, strokeDash=[5, 4]),
    ]
    return Figure(f"effects_{_file_name(place)}", caption, rows_panel(layers, rows))


def _effect_row(place: int, claim: Claim, logarithmic: bool) -> Row:
    """Return one row; a mean that follows its unlike cells says that it is one."""
    mean = " (mean of all)" if claim.reason.startswith(DIFFERS) else ""
    low, high = claim.interval or (0.0, 0.0)
    value = claim.estimate or 0.0
    ends = sorted((1.0 - high, 1.0 - low)) if logarithmic else [low, high]
    cell = f"{claim.heading.partition(',')[0]}, {cell_label(str(claim.subject))}"
    p = "" if claim.p_adjusted is None else p_text(claim.p_adjusted)
    return {
        "row": place,
        "label": cell if isinstance(claim.subject, OneCell) else f"{claim.heading}{mean}",
        "value": 1.0 - value if logarithmic else value,
        "low": max(ends[0], 1e-6) if logarithmic else ends[0],
        "high": ends[1],
        "status": "significant" if claim.status is Status.SUPPORTED else "inconclusive",
        "answer": claim.statement,
        "p": p.removeprefix("p=").removeprefix("p"),
        "runs": claim.n_runs,
    }


def levels(report: Report) -> list[Figure]:
    """Draw, for each swept parameter and plant, every run of each level, with the level's mean."""
    found = with_evidence(report.claims, LevelEvidence)
    return [
        _levels(report, claim, evidence, system)
        for claim, evidence in found
        if evidence.level_means
        for system in report.data.systems
    ]


def _levels(report: Report, claim: Claim, found: LevelEvidence, system: str) -> Figure:
    data, factor = report.data, claim.factor
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    values: dict[str, list[float]] = {}
    for o in observe(data, scale):
        if o.value is not None and o.system == system:
            values.setdefault(level_text(o.level(factor)), []).append(scale.natural(o.value))
    alone = len(data.systems) == 1
    names = [name for name in found.level_means if name in values][:SHOWN_LEVELS]
    best = [level_text(level) for level in found.possibly_best]
    logarithmic = all(v > 0.0 for name in names for v in values[name])
    rows: list[Row] = []
    for k, name in enumerate(names):
        own = values[name]
        middle = found.level_means[name] if alone else (geometric_mean(own) if logarithmic else mean(own))
        low, high = found.level_intervals.get(name, (None, None)) if alone else (None, None)
        mark = " (near-best)" if name in best else ""
        rows.append({"row": k, "label": f"{name}{mark}", "mean": middle, "low": low, "high": high})
    dots = [{"row": k, "value": v} for k, name in enumerate(names) for v in spaced(values[name], SHOWN_DOTS)]
    caption = (
        f"{system}, {mode_text(data.analysis.mode(system).episodes)}: {scale.quantity.label} by {factor_label(factor)} "
        f"(dots: runs; bar: {'geometric mean' if scale.logarithmic else 'mean'} over the other parameters"
        f"{'; line: its confidence interval' if alone and found.level_intervals else ''}). Near-best: {listed(best)}."
    )
    axis = number_axis(scale.quantity.label, logarithmic=logarithmic)
    spec = rows_panel(means_and_dots(rows, dots, axis), rows)
    return Figure(f"levels_{_file_name(factor)}_{system}", caption, spec)


def means_and_dots(rows: Sequence[Row], dots: Sequence[Row], axis: Spec, tooltip: Sequence[Spec] = ()) -> list[Spec]:
    """Return the layers of rows: a dot per run, a bar for the mean, a line for its interval if there is one."""
    bars = [row for row in rows if row.get("low") is not None]
    shown = [row for row in rows if row.get("mean") is not None]
    value_tip = [*tooltip, tip("value", form=".4~g")]
    layers: list[Spec] = [
        {
            "data": {"values": bars},
            "mark": {"type": "rule", "strokeWidth": 1.6, "color": GREY},
            "encoding": {
                "x": {**axis, "field": "low"},
                "x2": {"field": "high"},
                "tooltip": [tip("label"), tip("low", form=".4~g"), tip("high", form=".4~g")],
            },
        },
        {
            "data": {"values": shown},
            "mark": {"type": "tick", "thickness": 3, "size": 15, "color": RED},
            "encoding": {"x": {**axis, "field": "mean"}, "tooltip": [tip("label"), tip("mean", form=".4~g")]},
        },
        {
            "data": {"values": list(dots)},
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.65, "color": BLUE},
            "encoding": {"x": {**axis, "field": "value"}, "tooltip": value_tip},
        },
    ]
    return [layer for layer in layers if layer["data"]["values"]]


def spaced(values: Sequence[float], most: int) -> list[float]:
    """Return at most `most` of the values, evenly spaced by rank, including the smallest and the largest."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(k * (len(ordered) - 1) / (most - 1))] for k in range(most)]


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
