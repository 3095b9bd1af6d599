"""Figures of scores: every seed of every configuration beside the baselines, in each mode, and all single cases."""

from collections.abc import Sequence

import numpy as np

from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.formatting import number_text
from setpoint.reports.content import RankedSystem, Report, curve_names, mean_name, references_of, short_label
from setpoint.reports.figures.effects import means_and_dots
from setpoint.reports.figures.spec import (
    Figure,
    Row,
    Spec,
    colours_of,
    dashes_of,
    number_axis,
    panel,
    rows_panel,
    tip,
    zoom,
)
from setpoint.reports.modes import ModeTable, configuration_modes, mode_table, mode_text
from setpoint.reports.scales import Reference, place_references

SHOWN_CONFIGURATIONS = 30
SHOWN_PROFILES = 5
POINTS = 60
REFERENCE_LOOKS = {
    "certified optimum": ("#7F7F7F", [1, 0]),
    "clipped LQR": ("#009E73", [6, 3]),
    "zero control": ("#8C6D31", [8, 3, 2, 3]),
    "base, zero-shot": ("#CC79A7", [2, 2]),
}
"""Colour and dashes of the lines of base and references."""


def seeds(report: Report, ranked: RankedSystem) -> list[Figure]:
    """Draw every seed of every configuration, one figure per mode; the order is always that of the primary mode."""
    table = mode_table(report, ranked)
    if table is None or not ranked.with_result:
        return []
    metric = ranked.metric if ranked.metric in {"final_error", "success_rate", "regret_median"} else "final_error"
    return [
        _seeds(report, ranked, table, mode, ranked.metric if mode == table.primary else metric) for mode in table.modes
    ]


def _seeds(report: Report, ranked: RankedSystem, table: ModeTable, mode: str, metric: str) -> Figure:
    data, primary = report.data, mode == table.primary
    shown = [r for r in ranked.configurations if r.mean is not None or r.failed][:SHOWN_CONFIGURATIONS]
    rows: list[Row] = []
    dots: list[Row] = []
    for k, result in enumerate(shown):
        found = [
            (run.seed, value) for run in result.runs if (value := _value(result, run.name, mode, metric)) is not None
        ]
        dots += [
            {"row": k, "seed": seed, "value": value, "configuration": short_label(data, result)}
            for seed, value in found
        ]
        low, high = result.interval if primary and result.interval is not None else (None, None)
        several = len(found) > 1
        rows.append(
            {
                "row": k,
                "label": f"{short_label(data, result)}{f' ({result.failed} failed)' if result.failed else ''}",
                "mean": _mean(report, ranked, result, mode, metric) if several else None,
                "low": low,
                "high": high,
            }
        )
    values = [dot["value"] for dot in dots] + [
        end for row in rows for end in (row["low"], row["high"]) if end is not None
    ]
    logarithmic = bool(values) and min(values) > 0.0
    references = references_of(report, ranked) if primary else _references(table, mode, metric)
    placed = place_references(values, references, logarithmic=logarithmic)
    label = data.quantity(metric).label
    axis = number_axis(label, logarithmic=logarithmic)
    layers = [
        _reference_lines(placed.inside, axis),
        *means_and_dots(rows, dots, axis, [tip("configuration"), tip("seed")]),
    ]
    spec = rows_panel(layers if placed.inside else layers[1:], rows)
    beyond = [f"{r.label} {number_text(r.value)}" for r in (*placed.below, *placed.above)]
    role = "primary mode" if primary else f"order as in {mode_text(table.primary)}"
    caption = (
        f"{ranked.system}, {mode_text(mode)} ({role}): {label} of each configuration (dots: seeds"
        f"{f'; bar: {mean_name(data, ranked)}' if any(row['mean'] is not None for row in rows) else ''}"
        f"{'; line: confidence interval' if any(row['low'] is not None for row in rows) else ''})."
    )
    if beyond:
        caption += f" Off the axis: {', '.join(beyond)}."
    return Figure(f"errors_{ranked.system}_{mode}", caption, spec)


def _value(result: ConfigurationResult, name: str, mode: str, metric: str) -> float | None:
    run = next(run for run in result.runs if run.name == name)
    if not run.state.ok:
        return None
    outcome = run.outcomes[result.system]
    return outcome.modes.get(mode, outcome.final or {}).get(metric)


def _mean(report: Report, ranked: RankedSystem, result: ConfigurationResult, mode: str, metric: str) -> float | None:
    if metric == ranked.metric and mode == report.data.analysis.mode(ranked.system).episodes:
        return result.mean
    return configuration_modes(report, ranked, result).get(mode, {}).get(metric)


def _references(table: ModeTable, mode: str, metric: str) -> list[Reference]:
    found = [(row.label, row.by_mode.get(mode, {}).get(metric)) for row in table.rows if not row.trained]
    return [Reference(label, value) for label, value in found if value is not None]


def _reference_lines(references: Sequence[Reference], axis: Spec) -> Spec:
    names = [reference.label for reference in references]
    rows = [{"reference": r.label, "value": r.value, "text": f"{r.label} {number_text(r.value)}"} for r in references]
    texts = [row["text"] for row in rows]
    looks = [REFERENCE_LOOKS[name] for name in names]
    return {
        "data": {"values": rows},
        "mark": {"type": "rule", "strokeWidth": 1.8},
        "encoding": {
            "y": {"value": 0},
            "y2": {"value": "height"},
            "x": {**axis, "field": "value"},
            "color": {
                "field": "text",
                "type": "nominal",
                "sort": None,
                "scale": {"domain": texts, "range": [colour for colour, _ in looks]},
                "legend": {"symbolType": "stroke"},
            },
            "strokeDash": {
                "field": "text",
                "type": "nominal",
                "sort": None,
                "scale": {"domain": texts, "range": [dash for _, dash in looks]},
            },
            "tooltip": [tip("reference"), tip("value", form=".4~g")],
        },
    }


def profiles(report: Report, ranked: RankedSystem) -> Figure | None:
    """Draw the cumulative distribution of the final error over cases and seeds, for the best and worst."""
    chosen = [*ranked.with_result[:SHOWN_PROFILES], *ranked.with_result[SHOWN_PROFILES:][-1:]]
    rows: list[Row] = []
    drawn: list[str] = []
    for result in chosen:
        outcomes = [run.outcomes[ranked.system] for run in result.runs if run.state.ok]
        errors = [np.asarray(o.cases.values["final_error"]) for o in outcomes if o.cases is not None]
        found = np.sort(np.concatenate(errors)) if errors else np.array([])
        if len(found) and np.isfinite(found).all() and found[0] > 0.0:
            name = short_label(report.data, result)
            drawn.append(name)
            keep = np.unique(np.linspace(0, len(found) - 1, POINTS).astype(int))
            shares = 100.0 * (keep + 1) / len(found)
            rows += [
                {"configuration": name, "error": rounded(float(found[k])), "share": rounded(float(share))}
                for k, share in zip(keep, shares, strict=True)
            ]
    if not rows:
        return None
    names = curve_names(report.data, ranked.system)
    names += [name for name in drawn if name not in names]
    used = [name for name in names if name in drawn]
    mode = mode_text(report.data.analysis.mode(ranked.system).episodes)
    caption = (
        f"{ranked.system}, {mode}: cumulative distribution of the final error over all cases and seeds, for the best "
        "configurations and the worst. Higher is better."
    )
    layer: Spec = {
        "data": {"values": rows},
        "params": [zoom("x")],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.8},
        "encoding": {
            "x": {**number_axis("final error", logarithmic=True), "field": "error"},
            "y": {"field": "share", "type": "quantitative", "axis": {"title": "cases [%]"}},
            "color": {
                "field": "configuration",
                "type": "nominal",
                "sort": None,
                "scale": subset(colours_of(names), used),
            },
            "strokeDash": {
                "field": "configuration",
                "type": "nominal",
                "sort": None,
                "scale": subset(dashes_of(names), used),
            },
            "tooltip": [tip("configuration"), tip("error", form=".4~g"), tip("share", "cases [%]", form=".3~g")],
        },
    }
    return Figure(f"profiles_{ranked.system}", caption, panel([layer]))


def subset(scale: Spec, names: Sequence[str]) -> Spec:
    """Return the scale restricted to the names that are drawn; each keeps its look."""
    look = dict(zip(scale["domain"], scale["range"], strict=True))
    return {"domain": list(names), "range": [look[name] for name in names]}


def rounded(value: float) -> float:
    """Round to five significant digits, which no figure can show."""
    return float(f"{value:.5g}")
