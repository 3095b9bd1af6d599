"""SVG heat maps: the mean of each combination of two swept parameters, with its runs and failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from setpoint.analysis.data.design import Scale, observe, ordered_levels, swept
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.formatting import factor_label, level_text, number_text
from setpoint.reports import svg
from setpoint.reports.charts import HALF, Chart
from setpoint.reports.content import Report

SHOWN_MAPS = 6
LARGEST_MAP = 15
_LEFT, _TOP, _HEIGHT = 130.0, 46.0, 44.0


@dataclass(frozen=True)
class _Map:
    """The cells of two parameters on one system; a single parameter makes a single column.

    Attributes:
        rows, columns: the parameters; `columns` is None if there is one parameter.
        ys, xs: their levels; `xs` is one None if there is one parameter.
        means: (y, x) -> mean of the analysed values, for cells that have any.
    """

    system: str
    rows: str
    columns: str | None
    ys: Sequence[Level]
    xs: Sequence[Level]
    runs: Sequence[RunResult]
    scale: Scale
    means: Mapping[tuple[Level, Level], float]

    @property
    def width(self) -> float:
        """Return the width of a cell in pixels."""
        return max(104.0, min(180.0, (HALF - _LEFT) / max(1, len(self.xs))))

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Return the upper left corner of a cell in pixels."""
        return _LEFT + column * self.width, _TOP + row * _HEIGHT

    def runs_at(self, y: Level, x: Level) -> list[RunResult]:
        """Return the runs of a cell."""
        return [run for run in self.runs if run.level(self.rows) == y and _level(run, self.columns) == x]


def maps(report: Report) -> list[Chart]:
    """Draw one heat map per system and pair of swept parameters; a single parameter makes a single column."""
    data = report.data
    factors = swept(data)
    pairs: list[tuple[str, str | None]] = list(combinations(factors, 2))
    pairs = pairs[: max(1, SHOWN_MAPS // len(data.systems))] or [(factor, None) for factor in factors]
    found = [_read(data, system, *pair) for system, pair in product(data.systems, pairs)]
    return [_draw(each) for each in found if max(len(each.ys), len(each.xs)) <= LARGEST_MAP]


def _read(data: ExperimentData, system: str, rows: str, columns: str | None) -> _Map:
    runs = [run for run in data.runs if system in run.systems]
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    values: dict[tuple[Level, Level], list[float]] = {}
    for o in observe(data, scale):
        if o.value is not None and o.system == system:
            values.setdefault((o.level(rows), o.level(columns) if columns else None), []).append(o.value)
    return _Map(
        system=system,
        rows=rows,
        columns=columns,
        ys=ordered_levels(run.level(rows) for run in runs),
        xs=ordered_levels(_level(run, columns) for run in runs),
        runs=runs,
        scale=scale,
        means={place: float(np.mean(found)) for place, found in values.items()},
    )


def _level(run: RunResult, factor: str | None) -> Level:
    return run.level(factor) if factor else None


def _draw(found: _Map) -> Chart:
    body = _names(found)
    for (row, y), (column, x) in product(enumerate(found.ys), enumerate(found.xs)):
        body += _cell(found, found.corner(row, column), y, x)
    right, bottom = found.corner(len(found.ys), len(found.xs))
    name = " and ".join(factor_label(factor) for factor in (found.rows, found.columns) if factor)
    mean = "geometric mean" if found.scale.logarithmic else "mean"
    caption = (
        f"{found.scale.quantity.label} on {found.system} by {name}: {mean} of the runs of each cell (darker is better; "
        "n: finished runs)."
    )
    return Chart(caption, svg.document(right + 10, bottom + 6, caption, body))


def _names(found: _Map) -> list[str]:
    """Label the parameters and their levels, above and beside the cells."""
    body = [svg.text(_LEFT, 14, factor_label(found.columns) if found.columns else "", classes="soft")]
    for k, x in enumerate(found.xs):
        level = svg.shortened(level_text(x), 14) if found.columns else ""
        body.append(svg.text(_LEFT + (k + 0.5) * found.width, 38, level, anchor="middle"))
    body.append(svg.text(_LEFT - 8, 38, factor_label(found.rows), anchor="end", classes="soft"))
    for k, y in enumerate(found.ys):
        level = svg.shortened(level_text(y), 16)
        body.append(svg.text(_LEFT - 8, _TOP + (k + 0.6) * _HEIGHT, level, anchor="end"))
    return body


def _cell(found: _Map, corner: tuple[float, float], y: Level, x: Level) -> list[str]:
    """Draw one cell: its mean on a shade, its number of runs, and its failures."""
    size = (found.width - 3, _HEIGHT - 3)
    body = [svg.rectangle(*corner, *size, "cell")]
    mean = found.means.get((y, x))
    if mean is not None:
        low, high = min(found.means.values()), max(found.means.values())
        share = 0.5 if high == low else (mean - low) / (high - low)
        body.append(svg.rectangle(*corner, *size, "heat", 0.38 * (1.0 - share) + 0.02))
        body.append(_centred(found, corner, 17, number_text(found.scale.natural(mean))))
    here = found.runs_at(y, x)
    failed = sum(run.state.failed for run in here)
    counts = f"n={sum(run.state == 'ok' for run in here)}{f', {failed} failed' if failed else ''}"
    return [*body, _centred(found, corner, 33, counts, "failed" if failed else "soft")]


def _centred(found: _Map, corner: tuple[float, float], down: float, value: str, classes: str = "") -> str:
    return svg.text(corner[0] + found.width / 2, corner[1] + down, value, anchor="middle", classes=classes)
