"""Which references fit on an axis, and the smoothing of curves."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ROOM = 3.0
"""An axis includes a reference if it then spans at most this multiple of the data's range."""
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


def smoothing_width(count: int) -> int:
    """Return the width of the moving average of a curve of `count` values; 1 for short curves, which means none."""
    return max(1, count // 12)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of each value and the `width` − 1 before it, (values − `width` + 1,)."""
    return np.convolve(values, np.full(width, 1.0 / width), mode="valid")
