"""Ranks of the levels of one factor over blocks, such as methods over datasets: Friedman, Nemenyi and Wilcoxon.

Means over blocks of different scale are dominated by a few of them; ranks are not (Demšar 2006). The comparison of
means is the main analysis of a table, so the one of ranks is suggestive at most.
"""

import math
from itertools import combinations

import numpy as np

from setpoint.analysis.data.claim import Claim, ClaimKind, Status
from setpoint.analysis.data.design import Scale, observe, ordered_levels, swept
from setpoint.analysis.data.evidence import RankEvidence
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.data.subject import OneFactor
from setpoint.analysis.statistics.effects import holm
from setpoint.analysis.statistics.permutation import friedman, least_friedman_p
from setpoint.formatting import counted, factor_label, level_text, listed, number_text, p_text
from setpoint.seeding import generator

SECONDARY = "a secondary analysis; the main one compares means"


def block_rank_claims(data: ExperimentData) -> list[Claim]:
    """Compare the levels of a table's only factor by their ranks within complete blocks.

    Empty without blocks, with fewer than three levels, or with too few blocks for a significant result.
    """
    factors, alpha = swept(data), data.analysis.alpha
    if data.type != "table" or len(factors) != 1 or not data.analysis.blocked_by_seed:
        return []
    levels, table = _complete_blocks(data, factors[0])
    blocks, count = table.shape
    if count < 3 or blocks < 2 or least_friedman_p(blocks, count) > alpha:
        return []
    p = friedman(table, generator("friedman"))
    ranks = (np.argsort(np.argsort(table, axis=1), axis=1) + 1.0).mean(axis=0)
    best = np.argsort(ranks)
    shown = ", ".join(f"{level_text(levels[k])} {number_text(float(ranks[k]), 2)}" for k in best)
    block = data.words.block
    facts = (
        f"mean ranks {shown}; {p_text(p, alpha)}, Nemenyi critical difference "
        f"{number_text(critical_difference(count, blocks, alpha), 2)}, {_pairs(levels, table, alpha)}, "
        f"{counted(blocks, 'complete block')} ({block})"
    )
    status = Status.SUGGESTIVE if p < alpha else Status.UNRESOLVED
    reason = f"the ranks differ; {SECONDARY}" if p < alpha else "the ranks do not differ significantly"
    return [
        Claim(
            kind=ClaimKind.RANKS,
            subject=OneFactor(factors[0]),
            heading=f"Ranks of {factor_label(factors[0])} over {block}",
            statement=f"not resolved: {facts}; {reason}",
            status=status,
            reason=reason,
            method="Friedman's test by permutation within blocks; Wilcoxon's signed-rank test of pairs with Holm",
            n_runs=blocks * count,
            p_adjusted=p,
            evidence=RankEvidence(arms=levels, mean_ranks=tuple(ranks.tolist()), systems=blocks),
        )
    ]


def critical_difference(levels: int, blocks: int, alpha: float) -> float:
    """Return the difference of two mean ranks that is significant by Nemenyi's test."""
    from scipy import stats

    quantile = float(stats.studentized_range.ppf(1.0 - alpha, levels, math.inf)) / math.sqrt(2.0)
    return quantile * math.sqrt(levels * (levels + 1.0) / (6.0 * blocks))


def _complete_blocks(data: ExperimentData, factor: str) -> tuple[tuple[Level, ...], np.ndarray]:
    """Return the levels, and the mean of each level in each block that has all of them, (blocks, levels)."""
    scale = Scale(data.quantity(data.analysis.primary_metric), data.analysis.scale == "log")
    observed = [o for o in observe(data, scale) if o.value is not None]
    levels = ordered_levels(o.level(factor) for o in observed)
    values: dict[str, dict[Level, list[float]]] = {}
    for o in observed:
        values.setdefault(o.cluster, {}).setdefault(o.level(factor), []).append(o.value or 0.0)
    rows = [
        [float(np.mean(found[level])) for level in levels] for found in values.values() if len(found) == len(levels)
    ]
    return levels, np.array(rows).reshape(len(rows), len(levels))


def _pairs(levels: tuple[Level, ...], table: np.ndarray, alpha: float) -> str:
    """Return which pairs differ significantly by Wilcoxon's test with Holm's correction."""
    pairs = list(combinations(range(len(levels)), 2))
    adjusted = holm([_wilcoxon(table[:, a] - table[:, b]) for a, b in pairs])
    different = [
        f"{level_text(levels[a])} and {level_text(levels[b])}"
        for (a, b), p in zip(pairs, adjusted, strict=True)
        if p < alpha
    ]
    return (
        f"pairs that differ (Wilcoxon, Holm): {listed(different)}" if different else "no pair differs (Wilcoxon, Holm)"
    )


def _wilcoxon(differences: np.ndarray) -> float:
    from scipy import stats

    return float(stats.wilcoxon(differences).pvalue) if np.any(differences != 0.0) else 1.0
