"""Formatting of numbers: fixed decimals, no negative zero. Parsing is in `setpoint.language.answers`."""

import math
from collections.abc import Iterable

_ROUNDING = 1e-12
_SIGNIFICANT = 4


def format_number(value: float, decimals: int) -> str:
    """Format `value` with exactly `decimals` decimals; values that round to zero get no sign."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def format_vector(values: Iterable[float], decimals: int) -> str:
    """Format `[v1, v2, …]` with fixed decimals."""
    return f"[{', '.join(format_number(value, decimals) for value in values)}]"


def format_shortest(value: float, at_least: int, at_most: int = 4) -> str:
    """Format `value` with `at_least` decimals, or as many more as it needs to be exact.

    The limit is `at_most` decimals, or four significant digits for small values, so that no value becomes zero.
    """
    digits = max(at_most, _SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))) if value else at_most
    decimals = at_least
    while decimals < digits and abs(round(value, decimals) - value) > _ROUNDING * max(1.0, abs(value)):
        decimals += 1
    return format_number(value, decimals)
