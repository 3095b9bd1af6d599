"""Cells that share blocks against paired t, randomised blocks, split plots and least squares."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM

from setpoint.analysis.statistics import blocks
from setpoint.analysis.statistics.blocks import blocked_cells
from setpoint.analysis.statistics.cells import Cells
from setpoint.analysis.statistics.effects import anova_type_test
from setpoint.seeding import generator


def of_table(shape: tuple[int, ...], table: np.ndarray) -> Cells:
    """A complete table, cells by blocks."""
    count, number = table.shape
    cell = np.repeat(np.arange(count), number)
    return blocked_cells(shape, cell, table.ravel(), [str(k % number) for k in range(count * number)])


@pytest.fixture
def rng() -> np.random.Generator:
    return generator("tests", "blocks")


def test_two_cells_give_the_paired_t(rng: np.random.Generator) -> None:
    table = rng.normal(size=(2, 6)) + rng.normal(0, 3, 6)
    paired = stats.ttest_rel(*table)
    cells = of_table((2,), table)
    contrast = cells.contrast(np.array([1.0, -1.0]))
    assert contrast.value / contrast.standard_error == pytest.approx(paired.statistic)
    assert contrast.df == pytest.approx(5.0)
    assert anova_type_test(cells, (0,)).p == pytest.approx(paired.pvalue)


def test_the_statistic_is_that_of_randomised_blocks(rng: np.random.Generator) -> None:
    table = rng.normal(size=(4, 5)) + rng.normal(0, 2, 5)
    rows = [(k, b, table[k, b]) for k in range(4) for b in range(5)]
    frame = pd.DataFrame(rows, columns=["cell", "block", "y"])
    expected = AnovaRM(frame, "y", "block", within=["cell"]).fit().anova_table["F Value"].iloc[0]
    found = anova_type_test(of_table((4,), table), (0,))
    assert found.statistic == pytest.approx(expected)
    assert 1.0 <= found.df_effect <= 3.0
    assert found.df_error <= 12.0


def test_blocks_of_their_own_size_change_nothing(rng: np.random.Generator) -> None:
    table = rng.normal(size=(6, 4))
    shifted = table + np.array([0.0, 100.0, -50.0, 7.0])
    for factors in ((0,), (1,), (0, 1)):
        first, second = (anova_type_test(of_table((3, 2), t), factors).p for t in (table, shifted))
        assert second == pytest.approx(first)


def test_a_whole_plot_factor_is_judged_by_the_plots(rng: np.random.Generator) -> None:
    plots = rng.normal(0, 2, (2, 5))
    table = plots[:, :, None] + rng.normal(0, 0.5, (2, 5, 3))  # level, plot, subplot treatment
    cell = np.array([a * 3 + b for a in range(2) for _ in range(5) for b in range(3)])
    plot = [f"plot {a} {p}" for a in range(2) for p in range(5) for _ in range(3)]
    cells = blocked_cells((2, 3), cell, table.ravel(), plot)
    welch = stats.ttest_ind(*table.mean(axis=2), equal_var=False)
    contrast = cells.contrast(np.array([1, 1, 1, -1, -1, -1]) / 3.0)
    assert contrast.value / contrast.standard_error == pytest.approx(welch.statistic)
    assert contrast.df == pytest.approx(welch.df)
    within = cells.contrast(np.array([1, -1, 0, 1, -1, 0]) / 2.0)
    assert within.standard_error < 0.5 * contrast.standard_error
    assert within.df > 5.0


def test_incomplete_blocks_are_least_squares(rng: np.random.Generator) -> None:
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]  # a balanced incomplete block design
    cell = np.array([k for pair in pairs for k in pair])
    block = np.repeat(np.arange(6), 2)
    value = rng.normal(size=12) + np.repeat(rng.normal(0, 3, 6), 2)
    cells = blocked_cells((4,), cell, value, [f"b{k}" for k in block])
    fitted = ols("y ~ C(cell) + C(block)", pd.DataFrame({"y": value, "cell": cell, "block": block})).fit()
    np.testing.assert_allclose(np.diff(cells.means)[:1], [fitted.params["C(cell)[T.1]"]])
    contrast = cells.contrast(np.array([-1.0, 1.0, 0.0, 0.0]))
    assert contrast.value == pytest.approx(fitted.params["C(cell)[T.1]"])
    assert math.isfinite(contrast.standard_error) and 1.0 <= contrast.df <= 3.0


def test_a_missing_value_widens_the_contrast_as_least_squares_says(rng: np.random.Generator) -> None:
    cell, block = np.repeat(np.arange(5), 6), np.tile(np.arange(6), 5)
    value = rng.normal(size=30)
    kept = np.arange(30) != 0
    fit = blocks.additive_fit(cell[kept], block[kept], value[kept])
    frame = pd.DataFrame({"y": value[kept], "cell": cell[kept], "block": block[kept]})
    fitted = ols("y ~ C(cell) + C(block)", frame).fit()
    error = float(np.linalg.norm(fit.solver[1] - fit.solver[0])) * math.sqrt(fitted.mse_resid)
    assert error == pytest.approx(fitted.bse["C(cell)[T.1]"])
    assert fit.freedom.sum() == pytest.approx(fitted.df_resid)
    np.testing.assert_allclose(fit.residuals, fitted.resid, atol=1e-10)


def test_a_mean_over_blocks_has_their_spread(rng: np.random.Generator) -> None:
    table = rng.normal(0, 0.1, (3, 8)) + rng.normal(0, 5, 8)
    mean = of_table((3,), table).mean_of(np.array([1.0, 0.0, 0.0]))
    assert mean.standard_error == pytest.approx(table[0].std(ddof=1) / math.sqrt(8), rel=0.1)
    assert 5.0 < mean.df <= 8.0


def test_bartlett_is_scipys(rng: np.random.Generator) -> None:
    groups = [rng.normal(0, s, n) for s, n in ((1, 5), (2, 8), (1, 6))]
    variances, df = np.array([g.var(ddof=1) for g in groups]), np.array([len(g) - 1.0 for g in groups])
    assert blocks.bartlett(variances, df) == pytest.approx(stats.bartlett(*groups).pvalue)


def test_a_factor_that_acts_differently_in_blocks_is_seen(rng: np.random.Generator) -> None:
    uneven = np.repeat(rng.normal(0, 3, (4, 6)), 3, axis=0)
    cell, block = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    noise = rng.normal(size=(12, 6))
    assert blocks.uneven_factors((4, 3), cell, block, (noise + uneven).ravel()) == [0]
    table = noise + uneven
    stratum = of_table((4, 3), table)
    by_level = table.reshape(4, 3, 6).mean(axis=1)
    rows = [(k, b, by_level[k, b]) for k in range(4) for b in range(6)]
    frame = pd.DataFrame(rows, columns=["a", "block", "y"])
    expected = AnovaRM(frame, "y", "block", within=["a"]).fit().anova_table["F Value"].iloc[0]
    assert anova_type_test(stratum, (0,)).statistic == pytest.approx(expected)


def test_cells_of_one_run_are_refused() -> None:
    with pytest.raises(ValueError, match="two runs"):
        blocked_cells((2,), np.array([0, 1]), np.array([1.0, 2.0]), ["a", "a"])
