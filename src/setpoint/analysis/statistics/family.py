"""Families of t comparisons with a common multiplicity correction."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from setpoint.analysis.statistics.cells import Contrast
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.levels import Comparison, t_comparison

Key = TypeVar("Key")


def family_of(contrasts: Mapping[Key, Contrast], alpha: float) -> dict[Key, Comparison]:
    """Return one t comparison per contrast, with Holm's correction over all of them.

    Each interval inverts its own adjusted test: it excludes zero exactly if the p-value is below `alpha`.
    """
    raw = {key: t_comparison(contrast, 1, alpha).p_adjusted for key, contrast in contrasts.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    return {key: inverted(contrast, adjusted[key], alpha) for key, contrast in contrasts.items()}


def inverted(contrast: Contrast, p_adjusted: float, alpha: float) -> Comparison:
    """Return a t comparison with the adjusted p-value `p_adjusted` and the interval that inverts that adjusted test."""
    plain = t_comparison(contrast, 1, alpha)
    level = alpha * plain.p_adjusted / p_adjusted if p_adjusted > plain.p_adjusted > 0.0 else alpha
    return replace(t_comparison(contrast, 1, level), p_adjusted=p_adjusted)
