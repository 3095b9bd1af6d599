"""SVG learning curves: loss of SFT and DAgger, and GRPO reward, over optimizer steps."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.data.reading import learning_curve
from setpoint.reports import scales, svg
from setpoint.reports.charts import HALF, Chart, look
from setpoint.reports.content import Report, curve_labels, curve_names, stages_of

SHOWN_CURVES = 40
SHOWN_LABELS = 30
SHOWN_RAW = 12
"""Raw values are drawn behind the moving averages of at most this many curves."""
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 240, 60, HALF - 24

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class _Panel:
    """One figure: the role of its stages, and the logged value that it shows."""

    role: str
    key: str
    title: str


PANELS = (
    _Panel("sft", "loss", "SFT loss"),
    _Panel("dagger", "loss", "DAgger loss"),
    _Panel("grpo", "reward", "mean GRPO reward"),
    _Panel("grpo", "held_out_reward", "greedy GRPO reward on held-out states"),
)


@dataclass(frozen=True)
class _Curves:
    """The curves of one panel, each with its label.

    Attributes:
        smoothed: moving averages.
        raw: the values behind them; empty if nothing was smoothed, or if there are too many curves.
        width: steps of the moving average of the longest curve.
        stages: number of trained stages, including those that are not drawn.
    """

    smoothed: Sequence[tuple[str, Points]]
    raw: Sequence[tuple[str, Points]]
    width: int
    stages: int

    @property
    def all_points(self) -> Points:
        """Return the points of all curves that are drawn."""
        return [point for _, points in (*self.smoothed, *self.raw) for point in points]


def learning_curves(report: Report, system: str) -> list[Chart]:
    """Draw losses and GRPO reward over steps, with one colour and dash pattern per configuration."""
    runs = [run for run in report.data.runs if system in run.systems]
    charts = []
    for panel in PANELS:
        curves = _read(report, panel, stages_of(runs, panel.role))
        if curves is not None:
            charts.append(_draw(curves, panel, system, curve_names(report.data, system)))
    return charts


def _read(report: Report, panel: _Panel, stages: Mapping[str, Sequence[RunResult]]) -> _Curves | None:
    """Read the curves of all stages that logged at least two values; None if there are none."""
    labels, listed = curve_labels(report.data, stages), list(stages)
    chosen = svg.thinned([(float(k), 0.0) for k in range(len(listed))], SHOWN_CURVES)
    found = []
    for stage in (listed[int(k)] for k, _ in chosen):
        points = _points(learning_curve(report.data.workspace.stage(panel.role, stage)), panel.key)
        if len(points) >= 2:
            found.append((labels[stage], points))
    if not found:
        return None
    width = scales.smoothing_width(max(len(points) for _, points in found))
    return _Curves(
        smoothed=[(name, _smoothed(points, width)) for name, points in found],
        raw=found if width > 1 and len(found) <= SHOWN_RAW else [],
        width=width,
        stages=len(stages),
    )


def _points(records: Iterable[Mapping[str, Any]], key: str) -> Points:
    """Return (step, value) of each record with a finite value."""
    numbers = [(float(r["step"]), float(v)) for r in records if isinstance(v := r.get(key), int | float)]
    return [(step, value) for step, value in numbers if math.isfinite(value)]


def _smoothed(points: Points, width: int) -> Points:
    """Return the moving average of a curve; curves shorter than the others are smoothed less."""
    width = min(width, scales.smoothing_width(len(points)))
    means = scales.running_mean(np.array([y for _, y in points]), width).tolist()
    return list(zip([x for x, _ in points[width - 1 :]], means, strict=True))


def _draw(curves: _Curves, panel: _Panel, system: str, all_names: Sequence[str]) -> Chart:
    """Draw the figure; `all_names` are the system's curve labels in the order of their colours."""
    steps, values = zip(*curves.all_points, strict=True)
    x_axis, y_axis = svg.axis_over(steps, _LEFT, _RIGHT), svg.axis_over(values, _BOTTOM, _TOP)
    body = [
        *svg.bottom_axis(x_axis, _TOP, _BOTTOM, "optimizer step"),
        *svg.left_axis(y_axis, _LEFT, _RIGHT, panel.title),
    ]
    for kind, drawn in (("raw", curves.raw), ("line", curves.smoothed)):
        for name, points in drawn:
            places = [(x_axis.at(x), y_axis.at(y)) for x, y in svg.thinned(points, 120)]
            body.append(svg.path(places, f"line {kind} {look(all_names, name)}"))
    drawn_names = {name for name, _ in curves.smoothed}
    names = [name for name in all_names if name in drawn_names]
    body += _legend(names[:SHOWN_LABELS], all_names)
    caption = f"{system}: {panel.title} per trained stage{_caption(curves, len(names))}."
    return Chart(caption, svg.document(HALF, 304 + 16 * len(names[:SHOWN_LABELS]), caption, body))


def _legend(names: Sequence[str], all_names: Sequence[str]) -> list[str]:
    body = []
    for k, name in enumerate(names):
        y = _BOTTOM + 55 + 16 * k
        body.append(svg.line(60, y - 4, 90, y - 4, f"line {look(all_names, name)}"))
        body.append(svg.text(96, y, svg.shortened(name, 70)))
    return body


def _caption(curves: _Curves, names: int) -> str:
    """State how the curves were smoothed, how many stages are drawn, and how many of `names` are in the legend."""
    average = f"{curves.width}-step moving average"
    parts = []
    if curves.width > 1:
        parts.append(f"bold: {average}; faint: raw values" if curves.raw else average)
    if len(curves.smoothed) < curves.stages:
        parts.append(f"{len(curves.smoothed)} of {curves.stages} stages shown")
    if names > SHOWN_LABELS:
        parts.append(f"legend: {SHOWN_LABELS} of {names} configurations")
    return f" ({'; '.join(parts)})" if parts else ""
