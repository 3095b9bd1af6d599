"""Comparisons of the levels of one factor, or of configurations: the set of near-best ones, and their leads.

All comparisons allow unequal variances and are simultaneous, so that they remain valid if the best is selected after
looking at the data. Smaller values are better; a caller negates the others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from setpoint.analysis.statistics.cells import NO_SPREAD, Cells, Contrast
from setpoint.analysis.statistics.intervals import rival_level

WINNERS_AT_ONCE = 16
LEAST_DF = 2.0
"""Smallest number of degrees of freedom for which an interval is computed."""


@dataclass(frozen=True)
class Comparison:
    """A contrast with its simultaneous interval and adjusted p-value."""

    value: float
    interval: tuple[float, float]
    p_adjusted: float


def each_against_rest(cells: Cells, weights: Float[np.ndarray, "levels C"], alpha: float) -> list[Comparison | None]:
    """Compare each level with the mean of the other levels, simultaneously over the levels (Bonferroni t).

    A comparison is None if the standard error is zero, or if equal variances would give fewer than `LEAST_DF` degrees
    of freedom. The latter number is also an upper bound: for a level of two runs that happen to be close together,
    Satterthwaite's degrees of freedom are too many, and the interval of a level selected by its result would cover .88
    (measured).
    """
    count = len(weights)
    total = weights.sum(axis=0)
    # With two levels both comparisons are the same.
    family = 1 if count == 2 else count
    found: list[Comparison | None] = []
    for row in weights:
        rows = row - (total - row) / (count - 1)
        contrast, planned = cells.contrast(rows), cells.planned_df(rows)
        usable = contrast.estimable and planned > LEAST_DF - 1e-9
        contrast = replace(contrast, df=min(contrast.df, planned))
        found.append(t_comparison(contrast, family, alpha) if usable else None)
    return found


def t_comparison(contrast: Contrast, family: int, alpha: float) -> Comparison:
    """Return a two-sided t comparison with Bonferroni's correction for `family` tests; `contrast` must be estimable."""
    from scipy import special

    reach = float(special.stdtrit(contrast.df, 1.0 - alpha / family / 2.0)) * contrast.standard_error
    p = 2.0 * float(special.stdtr(contrast.df, -abs(contrast.value) / contrast.standard_error))
    return Comparison(contrast.value, (contrast.value - reach, contrast.value + reach), min(1.0, family * p))


@dataclass(frozen=True)
class BestSet:
    """Levels that may be the best, and the lead of the observed best.

    Attributes:
        ranked: positions of the levels, observed best first.
        members: positions of the levels that may be the best, in order; a single one exactly if `lead` is significant.
        against_best: each other level minus the observed best; None if the standard error is zero.
        lead: the nearest rival minus the observed best, with the largest p-value of all rivals; None if a standard
            error is zero.
    """

    ranked: list[int]
    members: list[int]
    against_best: Mapping[int, Comparison | None]
    lead: Comparison | None


def best_set(cells: Cells, weights: Float[np.ndarray, "levels C"], alpha: float) -> BestSet:
    """Return the levels that may be the best (multiple comparisons with the best; two-sided for two levels).

    A level is excluded if another is better at the one-sided significance level alpha / max(2, levels − 1). The true
    best then stays in the set with probability 1 − `alpha`, and two equal levels are distinguished with probability
    `alpha`. The interval of the lead excludes zero exactly if one level is left.
    """
    ranked = order(weights @ cells.means)
    contrasts = {level: cells.contrast(weights[level] - weights[ranked[0]]) for level in ranked[1:]}
    return _best_set(ranked, contrasts, possibly_best(cells, weights, alpha), alpha)


def best_set_of_cells(cells: Cells, alpha: float) -> BestSet:
    """Return `best_set` of single cells, fast enough for thousands of independent ones."""
    if not cells.independent or cells.pooled:
        return best_set(cells, np.eye(len(cells.means)), alpha)
    ranked = order(cells.means)
    best, variances = ranked[0], cells.variances
    df = np.empty(len(variances))
    df[np.concatenate(cells.groups)] = cells.df
    joint = variances + variances[best]
    joint_df = joint**2 / np.maximum(variances**2 / df + variances[best] ** 2 / df[best], 1e-300)
    lead = cells.means - cells.means[best]
    contrasts = {k: Contrast(float(lead[k]), math.sqrt(joint[k]), float(joint_df[k]), cells.unit) for k in ranked[1:]}
    return _best_set(ranked, contrasts, possibly_best_cells(cells, alpha), alpha)


def _best_set(ranked: list[int], contrasts: Mapping[int, Contrast], members: list[int], alpha: float) -> BestSet:
    compared = {level: _against_best(contrast, len(ranked), alpha) for level, contrast in contrasts.items()}
    tested = [comparison for comparison in compared.values() if comparison is not None]
    if len(tested) < len(compared) or not tested:
        return BestSet(ranked, sorted(ranked), compared, None)
    lead = Comparison(
        min(comparison.value for comparison in tested),
        (min(c.interval[0] for c in tested), min(c.interval[1] for c in tested)),
        max(comparison.p_adjusted for comparison in tested),
    )
    if len(members) == 1 and lead.p_adjusted >= alpha:
        kept = [level for level, comparison in compared.items() if comparison and comparison.p_adjusted >= alpha]
        members = sorted({ranked[0], *kept})
    return BestSet(ranked, members, compared, lead)


def _against_best(contrast: Contrast, count: int, alpha: float) -> Comparison | None:
    """Compare a level with the observed best; the interval inverts the one-sided test. None if not estimable."""
    from scipy import special

    if not contrast.estimable:
        return None
    reach = float(special.stdtrit(contrast.df, 1.0 - rival_level(count, alpha))) * contrast.standard_error
    p = float(special.stdtr(contrast.df, -contrast.value / contrast.standard_error)) * max(2, count - 1)
    return Comparison(contrast.value, (contrast.value - reach, contrast.value + reach), min(1.0, p))


def possibly_best(cells: Cells, weights: Float[np.ndarray, "levels C"], alpha: float) -> list[int]:
    """Return a set of levels that contains the true best with probability 1 − `alpha` or more.

    Multiple comparisons with the best by Welch's t, each at `rival_level`.
    """
    means, count = weights @ cells.means, len(weights)
    merged = _merged(cells, weights, means)
    if merged is not None:
        return possibly_best_cells(merged, alpha)
    return [
        loser
        for loser in range(count)
        if not any(means[loser] > means[i] and _beats(cells, weights, i, loser, alpha) for i in range(count))
    ]


def _merged(cells: Cells, weights: Float[np.ndarray, "levels C"], means: Float[np.ndarray, "levels"]) -> Cells | None:
    """Return the levels as cells; None if they are not independent, or if a level has zero variance."""
    if not cells.independent or cells.pooled or (np.count_nonzero(weights, axis=0) > 1).any():
        return None
    parts = np.square(weights) * cells.variances
    df = np.empty(len(cells.means))
    df[np.concatenate(cells.groups)] = cells.df
    variances = parts.sum(axis=1)
    if not (variances > np.square(_rounding(cells))).all():
        return None
    count = len(weights)
    effective = variances**2 / (parts**2 / df).sum(axis=1)
    singles = tuple(np.arange(count)[:, None])
    return Cells((count,), means, variances, singles, effective, cells.n_runs, unit=cells.unit)


def possibly_best_cells(cells: Cells, alpha: float) -> list[int]:
    """Return `possibly_best` of independent single cells, fast enough for thousands of them."""
    from scipy import special

    means, variances, share = cells.means, cells.variances, 1.0 - rival_level(len(cells.means), alpha)
    df = np.full(len(means), cells.df[0]) if cells.pooled else cells.df
    least, rounding = float(special.ndtri(share)), _rounding(cells)
    ordered = np.asarray(order(means))
    alive = np.ones(len(means), dtype=bool)
    # Best first and in batches: cells that are beaten need no further comparison.
    for start in range(0, len(means), WINNERS_AT_ONCE):
        winners, rivals = ordered[start : start + WINNERS_AT_ONCE], np.flatnonzero(alive)
        lead = means[rivals] - means[winners, None]
        squared = variances[rivals] + variances[winners, None]
        # The normal quantile is a lower bound of t quantiles, and rules out most pairs cheaply.
        w, r = np.nonzero((lead > np.maximum(least * np.sqrt(squared), rounding)) & (squared > 0.0))
        winner, rival, lead, squared = winners[w], rivals[r], lead[w, r], squared[w, r]
        spread = variances[rival] ** 2 / df[rival] + variances[winner] ** 2 / df[winner]
        joint = df[rival] if cells.pooled else squared**2 / np.where(spread > 0.0, spread, 1.0)
        critical = special.stdtrit(np.maximum(joint, 1e-9), share)
        alive[rival[lead > critical * np.sqrt(squared)]] = False
    return [int(i) for i in np.flatnonzero(alive)]


def _rounding(cells: Cells) -> float:
    return NO_SPREAD * max(cells.unit, float(np.abs(cells.means).max()))


def _beats(cells: Cells, weights: Float[np.ndarray, "levels C"], winner: int, loser: int, alpha: float) -> bool:
    from scipy import special

    contrast = cells.contrast(weights[loser] - weights[winner])
    if not contrast.estimable:
        return False
    critical = float(special.stdtrit(contrast.df, 1.0 - rival_level(len(weights), alpha)))
    return contrast.value > critical * contrast.standard_error


def order(values: Sequence[float] | Float[np.ndarray, "levels"]) -> list[int]:
    """Return the indices that sort `values`, smallest first; ties keep their order."""
    return sorted(range(len(values)), key=lambda i: float(values[i]))
