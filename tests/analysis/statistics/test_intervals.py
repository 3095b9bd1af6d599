"""Intervals, failure tests and the resolvable difference against scipy and published numbers."""

import math

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics.cells import Cells, replicated_cells
from setpoint.analysis.statistics.failure_rates import failure_test
from setpoint.analysis.statistics.intervals import (
    detectable_difference,
    mean_interval,
    planned_contrast,
    pooled_deviation,
    share_interval,
)
from setpoint.analysis.statistics.levels import best_set
from setpoint.seeding import generator


def mean_of(sample: np.ndarray) -> tuple[float, float]:
    deviation, df = pooled_deviation([sample.tolist()])
    return mean_interval(float(sample.mean()), deviation / math.sqrt(len(sample)), df, 0.05)


def test_the_interval_of_a_mean_is_students() -> None:
    sample = np.array([1.0, 2.0, 4.0])
    expected = stats.t.interval(0.95, 2, loc=sample.mean(), scale=stats.sem(sample))
    assert mean_of(sample) == pytest.approx(expected)


def test_the_interval_of_two_runs_covers(tolerance: float = 0.02) -> None:
    rng = generator("tests", "coverage")
    hits = sum(low <= 0.0 <= high for low, high in (mean_of(rng.normal(size=2)) for _ in range(2000)))
    assert hits / 2000 == pytest.approx(0.95, abs=tolerance)


def test_samples_of_different_sizes_are_pooled_by_their_degrees_of_freedom() -> None:
    rng = generator("tests", "pooled")
    samples = [rng.normal(size=size) for size in (2, 5, 3, 2, 9, 1, 5)]
    squares = sum(float(((s - s.mean()) ** 2).sum()) for s in samples)
    assert pooled_deviation([s.tolist() for s in samples]) == (
        pytest.approx(math.sqrt(squares / 20), rel=1e-12),
        20,
    )


def test_pooled_deviation_ignores_single_and_empty_samples() -> None:
    assert pooled_deviation([[1.0, 3.0], [5.0], [], [0.0, 2.0]]) == (pytest.approx(math.sqrt(2.0)), 2)
    assert pooled_deviation([[1.0], []]) == (0.0, 0)


@pytest.mark.parametrize(("hits", "total"), [(0, 6), (2, 6), (6, 6), (1, 1)])
def test_share_interval_is_clopper_pearson(hits: int, total: int) -> None:
    exact = stats.binomtest(hits, total).proportion_ci(0.95, method="exact")
    assert share_interval(hits, total, 0.05) == pytest.approx((exact.low, exact.high))


def test_two_levels_use_boschloo() -> None:
    expected = stats.boschloo_exact([[1, 8], [19, 12]]).pvalue
    assert failure_test([1, 8], [20, 20], generator("x")) == pytest.approx(expected)


def test_permutation_agrees_with_the_exact_distribution() -> None:
    table = np.array([[0, 0, 4], [5, 5, 1]])
    found = failure_test(table[0], table.sum(axis=0), generator("x"))
    # of all ways to place 4 failures on 15 runs, those with all 4 in one level are as uneven as this one
    as_uneven = 3 * math.comb(5, 4)
    assert found == pytest.approx(as_uneven / math.comb(15, 4), abs=0.005)


def test_no_difference_where_none_or_all_failed() -> None:
    assert failure_test([0, 0, 0], [3, 3, 3], generator("x")) == 1.0
    assert failure_test([3, 3], [3, 3], generator("x")) == 1.0


@pytest.mark.parametrize(("effect", "runs"), [(1.0, 17), (0.8, 26), (1.5, 9), (2.0, 6), (3.0, 4)])
def test_detectable_difference_agrees_with_published_sample_sizes(effect: float, runs: int) -> None:
    assert smallest_between_two(runs) <= effect < smallest_between_two(runs - 1)


def found_best(table: Cells, level: int) -> bool:
    """Whether the first level is found to be better than `level`, or worse, by the comparison with the best."""
    found = best_set(table, table.marginal_weights(0), 0.05)
    other = level if found.ranked[0] == 0 else 0
    compared = found.against_best.get(other) if found.ranked[0] in {0, level} else None
    return compared is not None and compared.p_adjusted < 0.05


def smallest_between_two(runs: int) -> float:
    """In standard deviations, with equal spread known to be equal: the plain t test."""
    return detectable_difference(math.sqrt(2.0 / runs), 2.0 * (runs - 1), 2, 0.05)


@pytest.mark.parametrize(("seeds", "cells", "count"), [(2, 3, 2), (3, 2, 4), (5, 1, 3), (10, 2, 2)])
def test_what_is_called_detectable_is_shown_in_four_of_five_experiments(seeds: int, cells: int, count: int) -> None:
    """By the comparison that the claims make; with two seeds more often, for their few degrees of freedom vary."""
    error, df = planned_contrast(seeds, cells)
    difference = detectable_difference(error, df, count, 0.05)
    rng = generator("detectable", seeds, cells, count)
    shown = 0
    for _ in range(600):
        values = rng.standard_normal((count * cells, seeds))
        values[:cells] -= difference
        cell = np.repeat(np.arange(count * cells), seeds)
        table = replicated_cells((count, cells), cell, values.ravel(), [str(run) for run in range(cell.size)])
        shown += found_best(table, 1)
    assert 0.75 < shown / 600 < (0.97 if seeds < 5 else 0.9)
