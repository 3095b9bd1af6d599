"""Learning curves: mean and range over the seeds of each configuration, with the validation loss."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.reading import learning_curve
from setpoint.reports.content import Report, curve_labels, curve_names, stages_of
from setpoint.reports.figures.scores import rounded, subset
from setpoint.reports.figures.spec import Figure, Row, Spec, colours_of, dashes_of, number_axis, panel, tip, zoom
from setpoint.reports.scales import running_mean, smoothing_width

SHOWN_CONFIGURATIONS = 24
SHOWN_SEEDS = 20
POINTS = 80
MOST_ROWS = 1200
"""Points of all curves of a figure; with many configurations, each has fewer."""
VALIDATION = "validation_loss"


@dataclass(frozen=True)
class _Kind:
    """The role of trained stages, and the logged value that is shown."""

    role: str
    key: str
    title: str


KINDS = (
    _Kind("sft", "loss", "SFT loss"),
    _Kind("dagger", "loss", "DAgger loss"),
    _Kind("grpo", "reward", "GRPO reward"),
)

Points = list[tuple[float, float]]


def learning_curves(report: Report, system: str) -> list[Figure]:
    """Draw losses and GRPO reward over optimizer steps."""
    runs = [run for run in report.data.runs if system in run.systems]
    found = [_curves(report, system, kind, stages_of(runs, kind.role)) for kind in KINDS]
    return [figure for figure in found if figure is not None]


def _curves(report: Report, system: str, kind: _Kind, stages: Mapping[str, Sequence[RunResult]]) -> Figure | None:
    """Draw one kind of stage; None if no stage logged two values."""
    labels = curve_labels(report.data, stages)
    by_label: dict[str, list[str]] = {}
    for stage in stages:
        by_label.setdefault(labels[stage], []).append(stage)
    shown = dict(list(by_label.items())[:SHOWN_CONFIGURATIONS])
    records = {
        stage: learning_curve(report.data.workspace.stage(kind.role, stage))
        for of_label in shown.values()
        for stage in of_label[:SHOWN_SEEDS]
    }
    rows: list[Row] = []
    checks: list[Row] = []
    width = 1
    points = max(16, min(POINTS, MOST_ROWS // max(1, len(shown))))
    for label, of_label in shown.items():
        curves = [c for s in of_label[:SHOWN_SEEDS] if len(c := _points(records[s], kind.key)) >= 2]
        if curves:
            own = smoothing_width(max(map(len, curves)))
            width = max(width, own)
            rows += _band(label, [_smoothed(curve, own) for curve in curves], points)
        checked = [c for s in of_label[:SHOWN_SEEDS] if (c := _points(records[s], VALIDATION))]
        if kind.role == "sft" and checked:
            checks += _band(label, checked, points)
    if not rows:
        return None
    names = [name for name in curve_names(report.data, system) if name in shown]
    caption = _caption(system, kind, rows, checks, width, len(by_label))
    return Figure(f"{kind.role}_curves_{system}", caption, _spec(report, system, kind, rows, checks, names))


def _spec(
    report: Report, system: str, kind: _Kind, rows: Sequence[Row], checks: Sequence[Row], names: Sequence[str]
) -> Spec:
    everything = curve_names(report.data, system)
    look: Spec = {
        "field": "configuration",
        "type": "nominal",
        "sort": None,
        "scale": subset(colours_of(everything), names),
        "legend": {"symbolType": "stroke", "symbolOpacity": 1},
    }
    dash: Spec = {**look, "scale": subset(dashes_of(everything), names)}
    x = {"field": "step", "type": "quantitative", "axis": {"title": "optimizer step", "tickCount": 5}}
    x["scale"] = {"nice": False, "padding": 8}
    y = number_axis(kind.title, logarithmic=False)
    tooltip = [tip("configuration"), tip("step", form="d"), tip("mean", form=".4~g"), tip("seeds", form="d")]
    layers: list[Spec] = [
        {
            "data": {"values": list(rows)},
            "mark": {"type": "area", "opacity": 0.15, "tooltip": None},
            "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": look},
        },
        {
            "data": {"values": list(rows)},
            "params": [zoom("x", "y")],
            "mark": {"type": "line", "strokeWidth": 1.8},
            "encoding": {"x": x, "y": {**y, "field": "mean"}, "color": look, "strokeDash": dash, "tooltip": tooltip},
        },
    ]
    if checks:
        layers.append(
            {
                "data": {"values": list(checks)},
                "mark": {"type": "point", "filled": False, "shape": "cross", "size": 55, "strokeWidth": 1.6},
                "encoding": {"x": x, "y": {**y, "field": "mean"}, "color": look, "tooltip": tooltip},
            }
        )
    return panel(layers)


def _caption(system: str, kind: _Kind, rows: Sequence[Row], checks: Sequence[Row], width: int, labels: int) -> str:
    parts = []
    if any(row["seeds"] > 1 for row in rows):
        parts.append("line: mean over seeds; band: range")
    if width > 1:
        parts.append(f"{width}-step moving average")
    if checks:
        parts.append("crosses: validation loss")
    if labels > SHOWN_CONFIGURATIONS:
        parts.append(f"first {SHOWN_CONFIGURATIONS} of {labels} configurations")
    return f"{system}: {kind.title} of each configuration{_in_brackets(parts)}."


def _in_brackets(parts: Sequence[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def _points(records: Iterable[Mapping[str, Any]], key: str) -> Points:
    """Return (step, value) of each record with a finite value."""
    numbers = [(float(r["step"]), float(v)) for r in records if isinstance(v := r.get(key), int | float)]
    return [(step, value) for step, value in numbers if math.isfinite(value)]


def _smoothed(points: Points, width: int) -> Points:
    """Return the moving average of a curve; curves shorter than the others are smoothed less."""
    width = min(width, smoothing_width(len(points)))
    means = running_mean(np.array([y for _, y in points]), width).tolist()
    return list(zip([x for x, _ in points[width - 1 :]], means, strict=True))


def _band(label: str, curves: Sequence[Points], points: int) -> list[Row]:
    """Return mean and range of several curves at `points` steps of the longest."""
    longest = max(curves, key=len)
    steps = np.array([x for x, _ in longest])
    keep = np.unique(np.linspace(0, len(steps) - 1, points).astype(int))
    shown = steps[keep]
    columns = [np.array(curve) for curve in curves]
    values = np.array([np.interp(shown, own[:, 0], own[:, 1], right=np.nan) for own in columns])
    return [
        {
            "configuration": label,
            "step": float(step),
            "mean": rounded(float(np.nanmean(column))),
            "low": rounded(float(np.nanmin(column))),
            "high": rounded(float(np.nanmax(column))),
            "seeds": int(np.isfinite(column).sum()),
        }
        for step, column in zip(shown, values.T, strict=True)
    ]
