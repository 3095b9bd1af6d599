"""Linear and curvature contrasts of level means, against least squares."""

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics.blocks import blocked_cells
from setpoint.analysis.statistics.cells import Cells, replicated_cells
from setpoint.analysis.statistics.trends import axis_of, trend

LEVELS = (1.0, 2.0, 3.5, 5.0)


def cells_of(table: np.ndarray) -> Cells:
    """Cells of levels by independent runs."""
    cell = np.repeat(np.arange(len(table)), table.shape[1])
    return replicated_cells((len(table),), cell, table.ravel(), [str(k) for k in range(table.size)])


def test_levels_are_spaced_by_what_is_more_even() -> None:
    assert axis_of((4, 8, 16, 32)).logarithmic
    assert axis_of((5e-5, 1e-4, 2e-4, 5e-4)).logarithmic
    assert not axis_of((1, 2, 3, 4, 5)).logarithmic
    assert not axis_of((0, 1, 10, 100)).logarithmic
    assert not axis_of((-3, 0, 3)).logarithmic
    np.testing.assert_allclose(np.diff(axis_of((4, 8, 16)).positions), np.log(2.0))


def test_sizes_are_those_of_least_squares() -> None:
    table = np.random.default_rng(0).standard_normal((4, 3))
    axis, means = axis_of(LEVELS), table.mean(axis=1)
    slope = stats.linregress(np.repeat(LEVELS, 3), table.ravel()).slope
    assert trend(cells_of(table), 0, axis, "linear").value == pytest.approx(slope * (LEVELS[-1] - LEVELS[0]))
    fitted = np.poly1d(np.polyfit(LEVELS, means, 2))
    middle = (LEVELS[0] + LEVELS[-1]) / 2.0
    expected = fitted(middle) - (fitted(LEVELS[0]) + fitted(LEVELS[-1])) / 2.0
    assert trend(cells_of(table), 0, axis, "curvature").value == pytest.approx(expected)


def test_a_line_has_no_curvature_and_a_parabola_has_its_own() -> None:
    axis = axis_of(LEVELS)
    line = 3.0 + 2.0 * axis.positions
    assert axis.weights("linear") @ line == pytest.approx(2.0 * 4.0)
    assert axis.weights("curvature") @ line == pytest.approx(0.0, abs=1e-12)
    assert axis.weights("curvature") @ axis.positions**2 == pytest.approx(-4.0)


def test_in_blocks_each_block_gives_one_slope() -> None:
    """With three levels nothing is shrunk: the test is the one-sample t-test of the slopes of the blocks."""
    rng = np.random.default_rng(1)
    table = rng.standard_normal((3, 6)) + 5.0 * rng.standard_normal(6)
    cell, block = np.repeat(np.arange(3), 6), np.tile(np.arange(6), 3)
    cells = blocked_cells((3,), cell, table.ravel(), [str(b) for b in block])
    found = trend(cells, 0, axis_of((1, 2, 3)), "linear")
    expected = stats.ttest_1samp(table[2] - table[0], 0.0)
    assert found.value / found.standard_error == pytest.approx(expected.statistic)
    assert found.df == pytest.approx(5.0)
