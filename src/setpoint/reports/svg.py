"""SVG elements: axes, lines, dots and text, all escaped; the style sheet of the report styles them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from setpoint.formatting import number_text
from setpoint.reports import scales


def text_of(value: str) -> str:
    """Escape `value` for HTML, and put it on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return escape(line, quote=True)


@dataclass(frozen=True)
class Axis:
    """Mapping from values to pixels on a logarithmic or linear scale."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of `value`, clipped to the axis."""
        if self.logarithmic:
            share = math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + min(1.02, max(-0.02, share)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return a few round values on the axis."""
        return scales.ticks(self.low, self.high, logarithmic=self.logarithmic)


def axis_over(values: Iterable[float], start: float, end: float, *, logarithmic: bool = False) -> Axis:
    """Return an axis that contains all finite `values` with a margin."""
    found = [value for value in values if math.isfinite(value) and (value > 0.0 or not logarithmic)]
    low, high = (min(found), max(found)) if found else (0.1, 1.0)
    if logarithmic:
        factor = max((high / low) ** 0.06, 1.05)
        return Axis(low / factor, high * factor, start, end, True)
    margin = 0.06 * (high - low) or max(1e-9, 0.1 * abs(high)) or 1.0
    return Axis(low - margin, high + margin, start, end)


def document(width: float, height: float, title: str, body: Sequence[str]) -> str:
    """Return an SVG document with its text alternative."""
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{text_of(title)}"><title>{text_of(title)}</title>{"".join(body)}</svg>'
    )


def line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def dot(x: float, y: float, classes: str = "dot", radius: float = 3.5) -> str:
    """Return a filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{classes}"/>'


def text(x: float, y: float, value: str, *, anchor: str = "start", classes: str = "") -> str:
    """Return a label."""
    kind = f' class="{classes}"' if classes else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{text_of(value)}</text>'


def path(points: Sequence[tuple[float, float]], classes: str) -> str:
    """Return a polyline."""
    return f'<path d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}" class="{classes}"/>'


def rectangle(x: float, y: float, width: float, height: float, classes: str, opacity: float = 1.0) -> str:
    """Return a filled rectangle."""
    faint = f' fill-opacity="{opacity:.2f}"' if opacity < 1.0 else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{classes}"{faint}/>'


def bottom_axis(axis: Axis, top: float, bottom: float, label: str) -> list[str]:
    """Draw grid lines, tick labels and the axis label below."""
    marks = [line(axis.at(tick), top, axis.at(tick), bottom, "grid") for tick in axis.ticks()]
    marks += [
        text(axis.at(tick), bottom + 15, number_text(tick), anchor="middle", classes="soft") for tick in axis.ticks()
    ]
    marks.append(line(axis.start, bottom, axis.end, bottom, "axis"))
    marks.append(text((axis.start + axis.end) / 2, bottom + 32, _with_scale(label, axis), anchor="middle"))
    return marks


def left_axis(axis: Axis, left: float, right: float, label: str) -> list[str]:
    """Draw grid lines and tick labels at the left, and the axis label on top; `axis.start` is the bottom."""
    marks = [line(left, axis.at(tick), right, axis.at(tick), "grid") for tick in axis.ticks()]
    marks += [
        text(left - 5, axis.at(tick) + 4, number_text(tick), anchor="end", classes="soft") for tick in axis.ticks()
    ]
    marks.append(line(left, axis.start, left, axis.end, "axis"))
    marks.append(text(left, axis.end - 7, _with_scale(label, axis)))
    return marks


def _with_scale(label: str, axis: Axis) -> str:
    return f"{label} (log scale)" if axis.logarithmic else label


def thinned(points: Sequence[tuple[float, float]], most: int = 60) -> list[tuple[float, float]]:
    """Return at most `most` of the points, including the first and the last."""
    if len(points) <= most:
        return list(points)
    keep = np.unique(np.linspace(0, len(points) - 1, most).astype(int))
    return [points[int(k)] for k in keep]


def spaced(values: Sequence[float], most: int) -> list[float]:
    """Return at most `most` of the values, evenly spaced by rank, including the smallest and the largest."""
    ordered = sorted(values)
    return [value for _, value in thinned([(0.0, value) for value in ordered], most)]


def shortened(value: str, length: int) -> str:
    """Cut `value` to at most `length` characters."""
    return value if len(value) <= length else value[: length - 1] + "…"
