"""Numbers as text: fixed decimals, no negative zero. The inverse is in `setpoint.language.answers`."""

from collections.abc import Iterable


def format_number(value: float, decimals: int) -> str:
    """`value` with exactly `decimals` decimals; what rounds to zero is written without a sign."""
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def format_vector(values: Iterable[float], decimals: int) -> str:
    """`[v1, v2, …]` with fixed decimals."""
    return f"[{', '.join(format_number(value, decimals) for value in values)}]"
