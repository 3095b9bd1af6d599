"""Permutation tests and descriptions against scipy, and against counting by hand."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.arms.comparisons import interquartile_mean, probability_of_improvement
from setpoint.analysis.statistics.permutation import friedman, least_friedman_p, max_t, rearrangements
from setpoint.seeding import generator


@pytest.fixture
def rng() -> np.random.Generator:
    return generator("tests", "permutation")


@pytest.mark.parametrize("sizes", [(3, 3), (4, 4), (3, 5), (7, 7)])
def test_two_groups_agree_with_scipys_exact_test(rng: np.random.Generator, sizes: tuple[int, int]) -> None:
    a, b = rng.normal(size=sizes[0]), rng.normal(1.0, 1.0, size=sizes[1])
    expected = stats.permutation_test(
        (a, b), lambda x, y, axis: abs(stats.ttest_ind(x, y, axis=axis).statistic), vectorized=True, n_resamples=np.inf
    )
    # scipy doubles the smaller tail; of a statistic without sign the upper tail alone is asked for.
    one_tail = float(np.mean(expected.null_distribution >= expected.statistic - 1e-12))
    assert max_t([a, b], rng)[0, 1] == pytest.approx(one_tail)


def test_the_smallest_p_is_that_of_arithmetic(rng: np.random.Generator) -> None:
    far = [[0.0, 0.1, 0.2], [9.0, 9.1, 9.2]]
    assert max_t(far, rng)[0, 1] == pytest.approx(2 / rearrangements([3, 3])) == pytest.approx(0.1)
    four = [[0.0, 0.1, 0.2, 0.3], [9.0, 9.1, 9.2, 9.3]]
    assert max_t(four, rng)[0, 1] == pytest.approx(2 / 70)


def test_three_groups_hold_their_level_and_find_an_effect(rng: np.random.Generator) -> None:
    errors = sum(min(max_t(rng.normal(size=(3, 3)).tolist(), rng).values()) <= 0.05 for _ in range(300))
    assert errors / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    found = max_t([[0.0, 0.1, 0.2, 0.1], [0.1, 0.0, 0.2, 0.15], [3.0, 3.1, 2.9, 3.2]], rng)
    assert found[0, 1] > 0.5 and found[0, 2] < 0.05 and found[1, 2] < 0.05


def test_a_random_part_comes_close_to_all_rearrangements(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = rng.normal([[0.0], [1.0]], 1.0, size=(2, 5)).tolist()
    exact = max_t(groups, rng)[0, 1]
    monkeypatch.setattr("setpoint.analysis.statistics.permutation.MOST_EXACT", 10)
    assert max_t(groups, generator("x"))[0, 1] == pytest.approx(exact, abs=0.02)
    assert max_t(groups, generator("x")) == max_t(groups, generator("x"))


@pytest.mark.parametrize("systems", [3, 4])
def test_friedman_counts_every_arrangement(rng: np.random.Generator, systems: int) -> None:
    table = rng.normal(size=(systems, 3)) + np.array([0.0, 0.5, 1.5])
    statistic = stats.friedmanchisquare(*table.T).statistic
    orders = [np.array(order, dtype=float) for order in permutations(range(3))]
    every = [stats.friedmanchisquare(*np.array(rows).T).statistic for rows in product(orders, repeat=systems)]
    assert friedman(table, rng) == pytest.approx(np.mean(np.array(every) >= statistic - 1e-9))
    sure = np.tile([1.0, 2.0, 3.0], (systems, 1))
    assert friedman(sure, rng) == pytest.approx(least_friedman_p(systems, 3)) == pytest.approx(6.0 ** (1 - systems))


def test_friedman_of_many_systems_comes_close_to_scipys(rng: np.random.Generator) -> None:
    table = rng.normal(size=(20, 4)) + np.array([0.0, 0.2, 0.4, 0.6])
    assert friedman(table, rng) == pytest.approx(stats.friedmanchisquare(*table.T).pvalue, abs=0.02)


def test_the_interquartile_mean_is_scipys_trimmed_mean(rng: np.random.Generator) -> None:
    for count in (6, 8, 11):
        values = rng.normal(size=count)
        assert interquartile_mean(values.tolist()) == pytest.approx(stats.trim_mean(values, 0.25))
    assert interquartile_mean([1.0, 2.0, 3.0, 1e9]) == pytest.approx(2.5)


def test_the_probability_of_improvement_is_mann_and_whitneys(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 6, 7).astype(float), rng.integers(0, 6, 9).astype(float)
    expected = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert probability_of_improvement(a.tolist(), b.tolist()) == pytest.approx(expected)
