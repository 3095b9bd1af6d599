"""Comparisons that are corrected together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from setpoint.analysis.statistics.cells import Contrast
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.levels import Comparison, t_comparison

Key = TypeVar("Key")


def family_of(contrasts: Mapping[Key, Contrast], alpha: float) -> dict[Key, Comparison]:
    """One t comparison for each contrast, with p-values corrected by Holm over all of them.

    Each interval inverts its own corrected test: it excludes zero exactly where the p-value is below `alpha`.
    """
    raw = {key: t_comparison(contrast, 1, alpha).p_adjusted for key, contrast in contrasts.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    return {key: inverted(contrast, adjusted[key], alpha) for key, contrast in contrasts.items()}


def inverted(contrast: Contrast, p_adjusted: float, alpha: float) -> Comparison:
    """A t comparison whose p-value was corrected elsewhere, with the interval of that corrected test."""
    plain = t_comparison(contrast, 1, alpha)
    level = alpha * plain.p_adjusted / p_adjusted if p_adjusted > plain.p_adjusted > 0.0 else alpha
    return replace(t_comparison(contrast, 1, level), p_adjusted=p_adjusted)
