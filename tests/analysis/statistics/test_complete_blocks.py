"""One factor in complete blocks: validity under unequal variances, power under equal ones, and agreement with t."""

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics.blocks import blocked_cells
from setpoint.analysis.statistics.cells import Cells
from setpoint.analysis.statistics.complete_blocks import contrast_variance, sphericity
from setpoint.analysis.statistics.effects import anova_type_test
from setpoint.analysis.statistics.levels import best_set
from setpoint.seeding import generator


def cells_of(table: np.ndarray) -> Cells:
    levels, blocks = table.shape
    labels = [f"block {j}" for _ in range(levels) for j in range(blocks)]
    return blocked_cells((levels,), np.repeat(np.arange(levels), blocks), table.ravel(), labels)


def test_two_levels_in_blocks_are_a_paired_t_test() -> None:
    table = generator("paired").standard_normal((2, 7))
    assert anova_type_test(cells_of(table), (0,)).p == pytest.approx(stats.ttest_rel(*table).pvalue)
    lead = best_set(cells_of(table), np.eye(2), 0.05).lead
    assert lead is not None and lead.p_adjusted == pytest.approx(stats.ttest_rel(*table).pvalue)


def test_three_levels_are_compared_in_pairs_by_paired_t() -> None:
    table = generator("three").standard_normal((3, 6))
    variance, df = contrast_variance(table, np.array([1.0, 0.0, -1.0]))
    assert (variance, df) == (pytest.approx(np.var(table[0] - table[2], ddof=1) / 6), 5.0)


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_the_correction_lies_between_its_bounds(levels: int) -> None:
    rng = generator("sphericity", levels)
    found = [sphericity(rng.standard_normal((levels, 5)) * rng.uniform(0.1, 5.0, (levels, 1))) for _ in range(50)]
    assert min(found) >= 1.0 / (levels - 1) - 1e-12
    assert max(found) <= 1.0 + 1e-12


@pytest.mark.parametrize(("levels", "blocks"), [(3, 5), (4, 5), (5, 8)])
def test_one_variable_level_is_not_taken_for_an_effect(levels: int, blocks: int) -> None:
    """Level by block standard deviations of 1, …, 1, 3; the F test of randomised blocks rejects .08 to .10."""
    rng, draws = generator("wide", levels), 1500
    spread = np.array([1.0] * (levels - 1) + [3.0])[:, None]
    p = [
        anova_type_test(cells_of(spread * rng.standard_normal((levels, blocks)) + rng.standard_normal(blocks)), (0,)).p
        for _ in range(draws)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.06 + 2.0 * np.sqrt(0.06 * 0.94 / draws)


def test_an_additive_table_without_residuals_is_not_tested() -> None:
    table = np.arange(3.0)[:, None] + np.arange(4.0)
    assert not cells_of(table).has_spread
