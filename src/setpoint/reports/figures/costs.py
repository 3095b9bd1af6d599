"""Figures of costs: error against cost with the ranges over seeds, and measured against predicted CPU time."""

from setpoint.analysis.data.experiment import ExperimentData
from setpoint.reports.content import RankedSystem, Report, short_label
from setpoint.reports.costs import configuration_costs, cost_range, missing_from, pareto_front
from setpoint.reports.figures.scores import rounded
from setpoint.reports.figures.spec import GREEN, GREY, Figure, Row, Spec, colours_of, number_axis, panel, tip, zoom
from setpoint.reports.modes import mode_text

SHOWN_PREDICTIONS = 80
SHOWN_COSTS = 60


def pareto(report: Report, ranked: RankedSystem) -> Figure | None:
    """Draw the mean error against the measured cost of each configuration; bars are the ranges over its seeds."""
    costs = configuration_costs(ranked)
    if len(costs) < 2:
        return None
    front = pareto_front(costs)
    rows: list[Row] = []
    for cost in costs[:SHOWN_COSTS]:
        low, high = cost_range(cost)
        rows.append(
            {
                "configuration": short_label(report.data, cost.result),
                "cost": rounded(cost.hours),
                "cost_low": rounded(low),
                "cost_high": rounded(high),
                "error": rounded(cost.error),
                "error_low": rounded(min(cost.result.values)),
                "error_high": rounded(max(cost.result.values)),
                "front": "Pareto front" if cost in front else "dominated",
            }
        )
    metric = report.data.quantity(ranked.metric).label
    names = "; ".join(short_label(report.data, c.result) for c in front[:8])
    mode = mode_text(report.data.analysis.mode(ranked.system).episodes)
    caption = (
        f"{ranked.system}, {mode}: {metric} against cost{missing_from(costs)} (bars: range over seeds). Pareto front: "
        f"{names}."
    )
    return Figure(f"costs_{ranked.system}", caption, _pareto_spec(rows, metric, costs[0].unit))


def _pareto_spec(rows: list[Row], metric: str, unit: str) -> Spec:
    x = number_axis(f"cost per run [{unit}]", logarithmic=False, zero=False)
    y = number_axis(metric, logarithmic=all(row["error_low"] > 0.0 for row in rows))
    tooltip = [tip("configuration"), tip("cost", form=".3~g"), tip("error", metric, ".4~g"), tip("front")]
    colour: Spec = {
        "field": "front",
        "type": "nominal",
        "sort": None,
        "scale": {"domain": ["Pareto front", "dominated"], "range": [GREEN, GREY]},
    }
    values = {"data": {"values": rows}}
    layers: list[Spec] = [
        {
            **values,
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {
                "x": {**x, "field": "cost_low"},
                "x2": {"field": "cost_high"},
                "y": {**y, "field": "error"},
                "color": colour,
            },
        },
        {
            **values,
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {
                "x": {**x, "field": "cost"},
                "y": {**y, "field": "error_low"},
                "y2": {"field": "error_high"},
                "color": colour,
            },
        },
        {
            **values,
            "params": [zoom("x", "y")],
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {
                "x": {**x, "field": "cost"},
                "y": {**y, "field": "error"},
                "color": colour,
                "tooltip": tooltip,
            },
        },
    ]
    return panel(layers, 280)


def predicted_costs(data: ExperimentData) -> Figure | None:
    """Draw the measured against the predicted CPU time of each stage, with the prediction interval."""
    done = () if data.forecast is None else data.forecast.finished
    rows: list[Row] = []
    for p in done:
        used = p.measured_s
        if used is not None and min(p.expected_s, used, *p.interval_s) > 0.0:
            low, high = p.interval_s
            rows.append(
                {
                    "stage": p.kind,
                    "predicted": rounded(p.expected_s),
                    "low": rounded(low),
                    "high": rounded(high),
                    "measured": rounded(used),
                }
            )
    if not rows:
        return None
    rows = rows[:: 1 + (len(rows) - 1) // SHOWN_PREDICTIONS]
    kinds = list(dict.fromkeys(str(row["stage"]) for row in rows))
    x, y = (number_axis(f"{name} CPU time [s]", logarithmic=True) for name in ("predicted", "measured"))
    ends = [min(row["low"] for row in rows), max(row["high"] for row in rows)]
    colour: Spec = {"field": "stage", "type": "nominal", "sort": None, "scale": colours_of(kinds)}
    values = {"data": {"values": rows}}
    layers: list[Spec] = [
        {
            "data": {"values": [{"predicted": end, "measured": end} for end in ends]},
            "mark": {"type": "line", "strokeDash": [5, 4], "color": GREY, "tooltip": None},
            "encoding": {"x": {**x, "field": "predicted"}, "y": {**y, "field": "measured"}},
        },
        {
            **values,
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {
                "x": {**x, "field": "low"},
                "x2": {"field": "high"},
                "y": {**y, "field": "measured"},
                "color": colour,
            },
        },
        {
            **values,
            "params": [zoom("x", "y")],
            "mark": {"type": "point", "filled": True, "size": 50, "opacity": 0.9},
            "encoding": {
                "x": {**x, "field": "predicted"},
                "y": {**y, "field": "measured"},
                "color": colour,
                "tooltip": [tip("stage"), tip("predicted", form=".3~g"), tip("measured", form=".3~g")],
            },
        },
    ]
    caption = (
        "Measured against predicted CPU time (dots: stages; line: prediction interval; dashed: measured equals "
        "predicted)."
    )
    return Figure("predicted_costs", caption, panel(layers, 280))
