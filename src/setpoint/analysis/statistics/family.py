"""Comparisons that are corrected together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from setpoint.analysis.statistics.cells import Contrast
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.levels import Comparison, t_comparison

Key = TypeVar("Key")


def family_of(contrasts: Mapping[Key, Contrast], alpha: float) -> dict[Key, Comparison]:
    """One t comparison for each contrast, with p-values by Holm and intervals by Bonferroni over all of them."""
    adjusted = holm([t_comparison(contrast, 1, alpha).p_adjusted for contrast in contrasts.values()])
    return {
        key: replace(t_comparison(contrast, len(contrasts), alpha), p_adjusted=p)
        for (key, contrast), p in zip(contrasts.items(), adjusted, strict=True)
    }
