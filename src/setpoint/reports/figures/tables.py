"""Heat maps of pairs of parameters, and shares of failed runs."""

from itertools import combinations, product

import numpy as np

from setpoint.analysis.data.design import Scale, observe, ordered_levels, swept
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.formatting import factor_label, level_text, number_text
from setpoint.reports.content import Report
from setpoint.reports.figures.spec import BLUE, RED, Figure, Row, Spec, panel, rows_panel, tip
from setpoint.reports.modes import mode_text

SHOWN_MAPS = 6
LARGEST_MAP = 15
SHOWN_LEVELS = 40


def maps(report: Report) -> list[Figure]:
    """Draw the mean of each combination of two swept parameters, one figure per plant and pair."""
    data = report.data
    pairs = list(combinations(swept(data), 2))[: max(1, SHOWN_MAPS // len(data.systems))]
    found = [_map(data, system, *pair) for system, pair in product(data.systems, pairs)]
    return [figure for figure in found if figure is not None]


def _map(data: ExperimentData, system: str, rows: str, columns: str) -> Figure | None:
    runs = [run for run in data.runs if system in run.systems]
    ys, xs = (ordered_levels(run.level(name) for run in runs) for name in (rows, columns))
    if max(len(ys), len(xs)) > LARGEST_MAP:
        return None
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    values: dict[tuple[Level, Level], list[float]] = {}
    for o in observe(data, scale):
        if o.value is not None and o.system == system:
            values.setdefault((o.level(rows), o.level(columns)), []).append(o.value)
    means = {place: float(np.mean(found)) for place, found in values.items()}
    low, high = (min(means.values()), max(means.values())) if means else (0.0, 1.0)
    cells: list[Row] = []
    for y, x in product(ys, xs):
        here = [run for run in runs if run.level(rows) == y and run.level(columns) == x]
        mean = means.get((y, x))
        failed = sum(run.state.failed for run in here)
        share = 0.5 if mean is None or high == low else (mean - low) / (high - low)
        cells.append(
            {
                "y": level_text(y),
                "x": level_text(x),
                "text": "–" if mean is None else number_text(scale.natural(mean)),
                "counts": f"n={sum(run.state.ok for run in here)}{f', {failed} failed' if failed else ''}",
                "shade": 0.0 if mean is None else round(0.45 * (1.0 - share) + 0.05, 3),
            }
        )
    mean_text = "geometric mean" if scale.logarithmic else "mean"
    caption = (
        f"{system}, {mode_text(data.analysis.mode(system).episodes)}: {scale.quantity.label} by {factor_label(rows)} "
        f"and {factor_label(columns)}: {mean_text} of the runs of each cell (darker is better; n: finished runs)."
    )
    return Figure(f"map_{system}_{_name(rows)}_{_name(columns)}", caption, _map_spec(cells, (rows, columns), len(ys)))


def _map_spec(cells: list[Row], factors: tuple[str, str], count: int) -> Spec:
    rows, columns = factors
    y = {"field": "y", "type": "ordinal", "sort": None, "axis": {"title": factor_label(rows), "grid": False}}
    x = {
        "field": "x",
        "type": "ordinal",
        "sort": None,
        "axis": {"title": factor_label(columns), "orient": "top", "labelAngle": 0, "grid": False},
    }
    place = {
        "x": x,
        "y": y,
        "tooltip": [tip("y", factor_label(rows)), tip("x", factor_label(columns)), tip("text"), tip("counts")],
    }
    values = {"data": {"values": cells}}
    layers: list[Spec] = [
        {
            **values,
            "mark": {"type": "rect", "color": BLUE},
            "encoding": {**place, "opacity": {"field": "shade", "type": "quantitative", "scale": None, "legend": None}},
        },
        {**values, "mark": {"type": "text", "dy": -6}, "encoding": {**place, "text": {"field": "text"}}},
        {
            **values,
            "mark": {"type": "text", "dy": 9, "fontSize": 10},
            "encoding": {**place, "text": {"field": "counts"}},
        },
    ]
    return panel(layers, 42 * count)


def failure_map(report: Report) -> Figure | None:
    """Draw, for each level of each parameter, the share of runs that failed, and name their failure classes."""
    data = report.data
    if not any(run.state.failed for run in data.runs):
        return None
    places = [(f, level) for f in swept(data) for level in ordered_levels(run.level(f) for run in data.runs)]
    rows: list[Row] = []
    for k, (factor, level) in enumerate(places[:SHOWN_LEVELS] or [("", None)]):
        here = [run for run in data.runs if not factor or run.level(factor) == level]
        ended = [run for run in here if run.state.ok or run.state.failed]
        failed = [run for run in here if run.state.failed]
        classes = [run.failure.failure_class if run.failure else "unknown" for run in failed]
        words = ", ".join(f"{classes.count(c)} {c}" for c in dict.fromkeys(classes))
        name = f"{factor_label(factor)} {level_text(level)}" if factor else "all runs"
        rows.append(
            {
                "row": k,
                "label": f"{name}: {len(failed)} of {len(ended)}{f' ({words})' if words else ''}",
                "share": 100.0 * len(failed) / max(1, len(ended)),
            }
        )
    x = {"type": "quantitative", "axis": {"title": "failed runs [%]", "tickCount": 5}, "scale": {"domain": [0, 100]}}
    bar: Spec = {
        "data": {"values": rows},
        "mark": {"type": "bar", "color": RED, "height": 10},
        "encoding": {"x": {**x, "field": "share"}, "tooltip": [tip("label"), tip("share", "failed [%]", ".3~g")]},
    }
    caption = "Share of failed runs by parameter level, with failed and finished runs and their failure classes."
    return Figure("failures", caption, rows_panel([bar], rows))


def _name(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
