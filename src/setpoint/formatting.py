"""Numbers as words: one way to write a level, a share, a p-value, so that all sentences agree."""

from collections.abc import Sequence

_LABELS = {"lora_rank": "LoRA rank", "learning_rate": "learning rate"}


def level_text(level: str | float | None) -> str:
    """A parameter value, short: `8`, `2.5e-4`, `1e-3`, `0.05`, `both`; rates of neighbouring decades look alike."""
    if isinstance(level, float) and not isinstance(level, bool):
        return number_text(level, digits=6, exponent_below=1e-2)
    return " ".join(str(level).split()) if level is not None else "none"


def number_text(value: float, digits: int = 3, exponent_below: float = 1e-3) -> str:
    """`value` with so many significant digits and without needless zeros; below `exponent_below` as `2.5e-4`."""
    text = f"{value:.{digits}g}"
    if value != 0.0 and (abs(value) < exponent_below or abs(value) >= 1e6):
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    return text


NEAR_ALPHA = 0.2
"""P-values that differ from the level by a smaller share of it are printed with a third digit."""
MOST_P_DIGITS = 8


def p_text(p: float, alpha: float = 0.05) -> str:
    """`p<0.001` or `p=0.012`, never rounded to zero; near `alpha` with as many digits as tell on which side it is."""
    if p < 0.001 or p >= 0.995:
        return "p<0.001" if p < 0.001 else "p=1"
    digits = 3 if abs(p - alpha) < NEAR_ALPHA * alpha else 2
    while digits < MOST_P_DIGITS and (float(f"{p:.{digits}g}") < alpha) != (p < alpha):
        digits += 1
    return f"p={p:.{digits}g}"


def percent_text(share: float) -> str:
    """A share as a percentage with a sensible number of digits; what is not all is never rounded to all of it."""
    percent = 100.0 * share
    if 99.5 <= percent < 100.0:
        return f"{min(percent, 99.9):.1f} %"
    if percent < -999.0:
        return "<-999 %"
    return f"{percent:.0f} %" if abs(percent) >= 10 or percent == 0 else f"{percent:.2g} %"


ROUND_OFF_SHARE = 1e-7
"""Shares below are what solvers and floating-point sums leave of a zero."""


def share_text(share: float) -> str:
    """A measured rate or regret as a percentage with three significant digits; `0 %` for round-off.

    What is not all is never rounded to all of it. Estimates have fewer digits: `percent_text`.
    """
    percent = 100.0 * share
    if abs(share) < ROUND_OFF_SHARE:
        return "0 %"
    if 99.0 < percent < 100.0:
        return f"{min(percent, 99.9):.3g} %"
    rounded = float(f"{percent:.3g}")
    return f"{number_text(rounded, max(3, len(f'{abs(rounded):.0f}')))} %"


def interval_text(low: float, high: float) -> str:
    """`[0.8, 1.9]`."""
    return f"[{number_text(low)}, {number_text(high)}]"


def percent_interval_text(low: float, high: float) -> str:
    """`[-4 %, 31 %]`."""
    return f"[{percent_text(low)}, {percent_text(high)}]"


def change_text(improvement: float, interval: tuple[float, float] | None, *, relative: bool) -> str:
    """`improved by 12 % [3 %, 20 %]`, or `worsened by …` with the same facts turned round."""
    better = improvement >= 0.0
    size = improvement if better else -improvement
    text = f"{'improved' if better else 'worsened'} by {percent_text(size) if relative else number_text(size)}"
    if interval is None:
        return text
    low, high = interval if better else (-interval[1], -interval[0])
    return f"{text} {percent_interval_text(low, high) if relative else interval_text(low, high)}"


def factor_label(factor: str) -> str:
    """`LoRA rank` for `lora_rank`, `sft learning rate` for `sft.learning_rate`, other names as they are."""
    stage, _, bare = factor.rpartition(".")
    label = _LABELS.get(bare, bare)
    return f"{stage} {label}" if stage else label


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


MOST_LISTED = 12
"""So many items are listed in full; of more, the first ones."""


def listed(items: Sequence[str], conjunction: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; `a, b, …, k and 989 more` of more than `MOST_LISTED`."""
    if len(items) > MOST_LISTED:
        items = [*items[: MOST_LISTED - 1], f"{len(items) - MOST_LISTED + 1} more"]
        conjunction = "and"
    return f" {conjunction} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
