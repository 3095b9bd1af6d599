"""Text formats of levels, shares, p-values and intervals, shared by all messages and reports."""

import math
from collections.abc import Sequence

_LABELS = {"lora_rank": "LoRA rank", "learning_rate": "learning rate"}


def level_text(level: str | float | None) -> str:
    """Format a parameter value: `8`, `2.5e-4`, `1e-3`, `0.05`, `both`; small values as `1e-3`."""
    if isinstance(level, float) and not isinstance(level, bool):
        return number_text(level, digits=6, exponent_below=1e-2)
    return " ".join(str(level).split()) if level is not None else "none"


def number_text(value: float, digits: int = 3, exponent_below: float = 1e-3) -> str:
    """Format `value` with `digits` significant digits, no trailing zeros; below `exponent_below` as `2.5e-4`."""
    text = f"{value:.{digits}g}"
    if not math.isfinite(value):
        return text
    if value != 0.0 and (abs(value) < exponent_below or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    return text


NEAR_ALPHA = 0.2
"""P-values closer to the level than this share of it are printed with a third digit."""
MAX_P_DIGITS = 8


def p_text(p: float, alpha: float = 0.05) -> str:
    """Format a p-value as `p<0.001` or `p=0.012`, never rounded to zero or across `alpha`."""
    if p < 0.001 or p >= 0.995:
        return "p<0.001" if p < 0.001 else "p=1"
    digits = 3 if abs(p - alpha) < NEAR_ALPHA * alpha else 2
    while digits < MAX_P_DIGITS and (float(f"{p:.{digits}g}") < alpha) != (p < alpha):
        digits += 1
    return f"p={p:.{digits}g}"


def percent_text(share: float) -> str:
    """Format an estimated share as a percentage with few digits; a share below 1 is never rounded to 100 %."""
    percent = 100.0 * share
    if 99.5 <= percent < 100.0:
        return f"{min(percent, 99.9):.1f} %"
    if percent < -999.0:
        return "<-999 %"
    return f"{percent:.0f} %" if abs(percent) >= 10 or percent == 0 else f"{percent:.2g} %"


ROUND_OFF = 1e-12
"""Metrics smaller than this are round-off and print as zero."""
ROUND_OFF_SHARE = 1e-7
"""Smaller shares are round-off errors of solvers and floating-point sums."""


def share_text(share: float) -> str:
    """Format a measured rate or regret as a percentage with three significant digits; `0 %` for round-off.

    A share below 1 is never rounded to 100 %. Estimates have fewer digits, see `percent_text`.
    """
    percent = 100.0 * share
    if abs(share) < ROUND_OFF_SHARE:
        return "0 %"
    if 99.0 < percent < 100.0:
        return f"{min(percent, 99.9):.3g} %"
    rounded = float(f"{percent:.3g}")
    return f"{number_text(rounded, max(3, len(f'{abs(rounded):.0f}')))} %"


def interval_text(low: float, high: float) -> str:
    """Format an interval as `[0.8, 1.9]`."""
    return f"[{number_text(low)}, {number_text(high)}]"


def percent_interval_text(low: float, high: float) -> str:
    """Format an interval of shares as `[-4 %, 31 %]`."""
    return f"[{percent_text(low)}, {percent_text(high)}]"


def change_text(improvement: float, interval: tuple[float, float] | None, *, relative: bool) -> str:
    """Return `improved by 12 % [3 %, 20 %]`, or `worsened by …` with the signs of estimate and interval reversed."""
    better = improvement >= 0.0
    size = improvement if better else -improvement
    text = f"{'improved' if better else 'worsened'} by {percent_text(size) if relative else number_text(size)}"
    if interval is None:
        return text
    low, high = interval if better else (-interval[1], -interval[0])
    return f"{text} {percent_interval_text(low, high) if relative else interval_text(low, high)}"


def factor_label(factor: str) -> str:
    """Return `LoRA rank` for `lora_rank`, `sft learning rate` for `sft.learning_rate`; other names are unchanged."""
    stage, _, bare = factor.rpartition(".")
    label = _LABELS.get(bare, bare)
    return f"{stage} {label}" if stage else label


def counted(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


MOST_LISTED = 12
"""Maximum number of items that `listed` shows in full."""


def listed(items: Sequence[str], conjunction: str = "and") -> str:
    """Return `a`, `a and b`, `a, b and c`; with more than `MOST_LISTED` items, `a, b, …, k and 989 more`."""
    if len(items) > MOST_LISTED:
        items = [*items[: MOST_LISTED - 1], f"{len(items) - MOST_LISTED + 1} more"]
        conjunction = "and"
    return f" {conjunction} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
