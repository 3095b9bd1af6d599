"""Axis ranges, ticks and smoothing of curves, shared by PNG and SVG figures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ROOM = 3.0
"""An axis includes a reference if it then spans at most this multiple of the data's range."""
_FEW_TICKS = 3
_LEAST_RATIO = 2.0
_LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Reference:
    """A reference controller and its value of the metric."""

    label: str
    value: float


@dataclass(frozen=True)
class ReferencePlacement:
    """References by position: on the axis, or off one of its ends."""

    inside: tuple[Reference, ...]
    below: tuple[Reference, ...]
    above: tuple[Reference, ...]


def place_references(
    values: Sequence[float], references: Iterable[Reference], *, logarithmic: bool
) -> ReferencePlacement:
    """Choose the references that fit on one axis with `values` without squeezing the data, nearest first."""
    found = [value for value in values if math.isfinite(value)]
    shown = [r for r in references if math.isfinite(r.value) and (r.value > 0.0 or not logarithmic)]
    if not found:
        return ReferencePlacement(tuple(shown), (), ())
    low, high = _scaled(min(found), logarithmic), _scaled(max(found), logarithmic)
    least = math.log(_LEAST_RATIO) if logarithmic else _LEAST_SHARE * max(abs(low), abs(high))
    most = ROOM * max(high - low, least)
    places = {r: _scaled(r.value, logarithmic) for r in shown}
    inside = []
    for reference in sorted(shown, key=lambda r: max(low - places[r], places[r] - high)):
        if max(high, places[reference]) - min(low, places[reference]) <= most:
            inside.append(reference)
            low, high = min(low, places[reference]), max(high, places[reference])
    rest = [r for r in shown if r not in inside]
    return ReferencePlacement(
        tuple(r for r in shown if r in inside),
        tuple(r for r in rest if places[r] < low),
        tuple(r for r in rest if places[r] > high),
    )


def _scaled(value: float, logarithmic: bool) -> float:
    return math.log(value) if logarithmic else value


def ticks(low: float, high: float, *, logarithmic: bool) -> list[float]:
    """Return a few round values between `low` and `high`; at least three if possible."""
    return _log_ticks(low, high) if logarithmic else _linear_ticks(low, high)


def _linear_ticks(low: float, high: float) -> list[float]:
    # Round steps of 1, 2, 2.5, 5 or 10 times a power of ten, the first that gives at most six intervals.
    step = 10.0 ** math.floor(math.log10((high - low) / 3.0))
    step *= next((m for m in (1.0, 2.0, 2.5, 5.0) if (high - low) / (step * m) <= 6.0), 10.0)
    first = math.ceil(low / step)
    return [float(f"{step * k:.12g}") for k in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    stride = max(1, math.ceil(len(exponents) / 8))
    # Decades if at least three fit, else finer divisions of a decade; less than a decade gets linear ticks.
    for steps in ((1,), (1, 3), (1, 2, 5)):
        found = [float(f"{m}e{e}") for e in list(exponents)[::stride] for m in steps]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= _FEW_TICKS:
            return found
    return _linear_ticks(low, high)


def smoothing_width(count: int) -> int:
    """Return the width of the moving average of a curve of `count` values; 1 for short curves, which means none."""
    return max(1, count // 12)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of each value and the `width` − 1 before it, (values − `width` + 1,)."""
    return np.convolve(values, np.full(width, 1.0 / width), mode="valid")
