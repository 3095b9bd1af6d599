"""Permutation tests: of all pairs of groups simultaneously, and of methods ranked on several systems.

All permutations are enumerated if there are few; otherwise a random sample gives the p-value (b + 1)/(m + 1).
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, permutations, product

import numpy as np
from jaxtyping import Float, Int

MOST_EXACT = 20_000
DRAWS = 9_999


def max_t(groups: Sequence[Sequence[float]], rng: np.random.Generator) -> dict[tuple[int, int], float]:
    """Return the adjusted p-value of equal means for every pair of groups (Westfall and Young's max-T).

    Args:
        groups: at least two groups with at least two values each.
        rng: generator of the random permutations, used if there are too many to enumerate.
    """
    sizes = [len(group) for group in groups]
    values = np.concatenate([np.asarray(group, dtype=float) for group in groups])
    own = np.repeat(np.arange(len(groups)), sizes)
    observed = _pair_statistics(values, own[None, :], sizes)[0]
    # Sorted, so that the draws do not depend on the order of runs and groups.
    values, sizes = np.sort(values), sorted(sizes)
    own = np.repeat(np.arange(len(groups)), sizes)
    exact = rearrangements(sizes) <= MOST_EXACT
    labels = _every_labelling(tuple(sizes)) if exact else rng.permuted(np.tile(own, (DRAWS, 1)), axis=1)
    largest = _pair_statistics(values, labels, sizes).max(axis=1)
    pairs = combinations(range(len(groups)), 2)
    return {pair: _share(largest, float(t), exact=exact) for pair, t in zip(pairs, observed, strict=True)}


def rearrangements(sizes: Sequence[int]) -> int:
    """Return the number of ways to assign values to groups of these sizes."""
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


def friedman(table: Float[np.ndarray, "systems methods"], rng: np.random.Generator) -> float:
    """Return the p-value of equal ranks of the methods, by permutation within each system (Friedman's statistic)."""
    from scipy import stats

    ranks = np.asarray(stats.rankdata(table, axis=1))
    systems, methods = ranks.shape
    exact = math.factorial(methods) ** (systems - 1) <= MOST_EXACT
    if exact:  # permuting the first system as well would only repeat every total
        orders = np.array(list(permutations(range(methods))))
        chosen = np.array(list(product(range(len(orders)), repeat=systems - 1)), dtype=int)
        totals = ranks[0] + sum(
            (ranks[k + 1][orders][chosen[:, k]] for k in range(systems - 1)), start=np.zeros(methods)
        )
    else:
        totals = rng.permuted(np.tile(np.sort(ranks, axis=1), (DRAWS, 1, 1)), axis=2).sum(axis=1)
    spread = ((totals - totals.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    observed = ranks.sum(axis=0)
    return _share(spread, float(((observed - observed.mean()) ** 2).sum()), exact=exact)


def least_friedman_p(systems: int, methods: int) -> float:
    """Return the smallest attainable p-value with this number of systems, without ties."""
    return float(math.factorial(methods)) ** (1 - systems)


def _share(statistics: Float[np.ndarray, " draws"], observed: float, *, exact: bool) -> float:
    """Return the share of permutations at least as extreme as the data, which are included."""
    extreme = int(np.sum(statistics >= observed - 1e-9 * max(1.0, abs(observed))))
    return extreme / len(statistics) if exact else (extreme + 1) / (len(statistics) + 1)


def _pair_statistics(
    values: Float[np.ndarray, " runs"], labels: Int[np.ndarray, "draws runs"], sizes: Sequence[int]
) -> Float[np.ndarray, "draws pairs"]:
    """Return |t| of every pair, with the variance pooled over all groups, (draws, pairs)."""
    counts = np.asarray(sizes, dtype=float)
    means = np.stack([(labels == k) @ values for k in range(len(sizes))], axis=1) / counts
    # Sum of squares within groups, up to a factor that is equal for all permutations.
    within = np.maximum(float((values**2).sum()) - (means**2 @ counts), 0.0)
    error = np.sqrt(within)[:, None] + 1e-12 * max(1.0, float(np.abs(values).max()))
    pairs = list(combinations(range(len(sizes)), 2))
    width = np.sqrt([1.0 / counts[a] + 1.0 / counts[b] for a, b in pairs])
    return np.asarray(np.abs(np.stack([means[:, a] - means[:, b] for a, b in pairs], axis=1)) / width / error)


@lru_cache(maxsize=16)
def _every_labelling(sizes: tuple[int, ...]) -> Int[np.ndarray, "draws runs"]:
    labels = np.array(list(_assignments(sizes)))
    labels.flags.writeable = False
    return labels


def _assignments(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Generate every assignment of the values to groups of the given sizes."""
    total = sum(sizes)
    labels = [0] * total

    def fill(group: int, left: tuple[int, ...]) -> Iterator[list[int]]:
        if group == len(sizes) - 1:
            for place in left:
                labels[place] = group
            yield list(labels)
            return
        for chosen in combinations(left, sizes[group]):
            for place in chosen:
                labels[place] = group
            taken = set(chosen)
            yield from fill(group + 1, tuple(place for place in left if place not in taken))

    yield from fill(0, tuple(range(total)))
