"""Which levels may be the best: against Welch's test, and by simulation on noise."""

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics.cells import Cells, replicated_cells
from setpoint.analysis.statistics.levels import best_set, each_against_rest
from setpoint.seeding import generator


def one_way(groups: list[np.ndarray]) -> Cells:
    cell = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return replicated_cells((len(groups),), cell, np.concatenate(groups), [str(k) for k in range(len(cell))])


@pytest.fixture
def rng() -> np.random.Generator:
    return generator("tests", "best set")


def test_of_two_levels_it_is_the_two_sided_welch_test(rng: np.random.Generator) -> None:
    for shift in (0.5, 1.0, 2.0):
        a, b = rng.normal(0, 1, 6), rng.normal(shift, 2, 5)
        found, welch = best_set(one_way([a, b]), np.eye(2), 0.05), stats.ttest_ind(a, b, equal_var=False)
        assert found.lead is not None
        assert found.lead.p_adjusted == pytest.approx(welch.pvalue)
        ends = sorted(abs(end) for end in (welch.confidence_interval().low, welch.confidence_interval().high))
        assert sorted(abs(end) for end in found.lead.interval) == pytest.approx(ends)
        assert (len(found.members) == 1) == (welch.pvalue < 0.05)


def test_one_level_is_left_exactly_where_the_lead_is_significant(rng: np.random.Generator) -> None:
    for _ in range(300):
        levels = int(rng.integers(2, 7))
        spreads, means = rng.uniform(0.2, 3.0, levels), rng.normal(0, 2, levels)
        cells = one_way([rng.normal(m, s, 4) for m, s in zip(means, spreads, strict=True)])
        found = best_set(cells, np.eye(levels), 0.05)
        assert found.lead is not None
        assert found.ranked[0] in found.members
        assert (len(found.members) == 1) == (found.lead.p_adjusted < 0.05) == (found.lead.interval[0] > 0.0)
        assert found.lead.interval[0] <= found.lead.value <= found.lead.interval[1]


@pytest.mark.parametrize(("levels", "runs"), [(2, 4), (2, 20), (3, 5), (12, 3), (40, 2)])
def test_noise_seldom_has_a_best_level(levels: int, runs: int, rng: np.random.Generator) -> None:
    draws = 1500
    alone = sum(
        len(best_set(one_way(list(rng.normal(size=(levels, runs)))), np.eye(levels), 0.05).members) == 1
        for _ in range(draws)
    )
    assert alone / draws < 0.05 + 2.0 * (0.05 * 0.95 / draws) ** 0.5


def test_a_noisy_best_level_stays_in_the_set(rng: np.random.Generator) -> None:
    draws = 1000
    kept = 0
    for _ in range(draws):
        groups = [rng.normal(-0.01, 5, 4), *(rng.normal(0, 1, 4) for _ in range(4))]
        kept += 0 in best_set(one_way(groups), np.eye(5), 0.05).members
    assert kept / draws > 0.94


@pytest.mark.parametrize(("levels", "runs"), [(2, 2), (12, 3), (40, 3)])
def test_the_gain_of_the_observed_best_is_covered(levels: int, runs: int, rng: np.random.Generator) -> None:
    draws = 1000
    covered = 0
    for _ in range(draws):
        cells = one_way(list(rng.normal(size=(levels, runs))))
        gain = each_against_rest(cells, np.eye(levels), 0.05)[int(np.argmin(cells.means))]
        assert gain is not None
        covered += gain.interval[0] <= 0.0 <= gain.interval[1]
    assert covered / draws > 0.94


def test_many_levels_of_two_runs_give_no_interval_of_the_gain(rng: np.random.Generator) -> None:
    assert each_against_rest(one_way(list(rng.normal(size=(12, 2)))), np.eye(12), 0.05) == [None] * 12
