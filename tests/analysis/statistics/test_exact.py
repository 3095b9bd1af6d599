"""Exact tests, failed runs and skewness against scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics import exact
from setpoint.analysis.statistics.failed_runs import tied_worst, worst_ranks
from setpoint.analysis.statistics.symmetry import doubt, skewness
from setpoint.seeding import generator


@pytest.fixture
def rng() -> np.random.Generator:
    return generator("tests", "exact")


def test_signs_are_flipped_as_scipy_does(rng: np.random.Generator) -> None:
    values = rng.normal(0.6, 1, 8)
    expected = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    found = exact.paired(values.tolist(), rng)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.least == pytest.approx(2.0**-7)


def test_two_samples_are_dealt_as_scipy_does(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, 5), rng.normal(1.2, 2, 6)

    def welch(x: np.ndarray, y: np.ndarray, axis: int = 0) -> np.ndarray:
        return np.abs(stats.ttest_ind(x, y, equal_var=False, axis=axis).statistic)

    expected = stats.permutation_test((a, b), welch, n_resamples=np.inf, alternative="greater")
    assert exact.two_samples(a.tolist(), b.tolist(), rng).p == pytest.approx(expected.pvalue)


def test_three_runs_of_each_can_give_no_less_than_a_tenth(rng: np.random.Generator) -> None:
    found = exact.two_samples([1.0, 2.0, 3.0], [11.0, 12.0, 13.0], rng)
    assert found.p == pytest.approx(0.1) == found.least


def test_blocks_of_two_levels_flip_signs(rng: np.random.Generator) -> None:
    table = rng.normal(size=(2, 7))
    assert exact.within_blocks(table, rng) == exact.paired((table[0] - table[1]).tolist(), rng)


def test_drawn_rearrangements_agree_with_all_of_them(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, 10), rng.normal(1.0, 1, 11)  # 352,716 ways
    found = exact.two_samples(a.tolist(), b.tolist(), rng).p
    assert found == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, abs=0.02)
    table = rng.normal(size=(4, 9)) + np.array([0.0, 0.3, 0.6, 0.9])[:, None]
    friedman = exact.within_blocks(stats.rankdata(table, axis=0), rng).p
    assert friedman == pytest.approx(stats.friedmanchisquare(*table).pvalue, abs=0.02)


def test_failures_share_the_last_rank() -> None:
    values = np.array([0.3, np.nan, 0.1, 0.3, np.nan])
    np.testing.assert_allclose(worst_ranks(values), stats.rankdata(np.where(np.isnan(values), 9.0, values)))
    np.testing.assert_allclose(tied_worst(values), [0.3, 0.3, 0.1, 0.3, 0.3])


def test_skewness_of_one_cell_is_scipys(rng: np.random.Generator) -> None:
    values = rng.exponential(size=40)
    assert skewness(values, np.zeros(40, dtype=int)) == pytest.approx(stats.skew(values, bias=False))


def test_zeros_and_skew_are_doubted_and_normal_values_are_not(rng: np.random.Generator) -> None:
    cell = np.repeat(np.arange(6), 5)
    normal = [doubt(rng.normal(size=30), cell, 5) for _ in range(200)]
    assert sum(bool(text) for text in normal) < 40
    skewed = [doubt(rng.lognormal(0, 1, size=30), cell, 5) for _ in range(200)]
    assert sum(bool(text) for text in skewed) > 150
    inflated = np.where(rng.random(30) < 0.4, 0.0, rng.lognormal(size=30))
    assert "equal the smallest" in doubt(inflated, cell, 5)
