"""Equivalence margins: the largest difference between two levels that does not matter."""

import math
import re

from setpoint.errors import InputError, shown

LARGEST_PERCENT = 1000.0
_MARGIN = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*(%?)")


def margin_of(text: str, *, logarithmic: bool) -> float:
    """Parse a margin: a percentage such as `5%` on a log scale, a difference such as `0.02` on a linear one.

    Returns:
        The share, or the difference in units of the metric.

    Raises:
        InputError: it is not a positive number, or belongs to the other scale.
    """
    match = _MARGIN.fullmatch(text.strip())
    value = float(f"{match[1]}{match[2] or ''}") if match else 0.0
    if match is None or not 0.0 < value < math.inf:
        raise InputError(f"an equivalence margin must be positive, got {shown(text)}. Write it like 5% or 0.02.")
    if logarithmic != bool(match[3]):
        scale = "log" if logarithmic else "linear"
        form = "a percentage, such as 5%" if logarithmic else "in units of the metric, such as 0.02"
        raise InputError(f"the equivalence margin of a metric on a {scale} scale is {form}, got {shown(text)}.")
    if match[3] and value > LARGEST_PERCENT:
        raise InputError(f"an equivalence margin must be at most {LARGEST_PERCENT:g}%, got {shown(text)}. Lower it.")
    return value / 100.0 if match[3] else value
