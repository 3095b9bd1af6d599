"""Incomplete and aliased designs, against statsmodels and textbook alias structures."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from setpoint.analysis.statistics.cells import replicated_cells
from setpoint.analysis.statistics.effects import anova_type_test
from setpoint.analysis.statistics.incomplete import IncompleteDesign, incomplete_cells
from setpoint.seeding import generator

HOLE = IncompleteDesign((3, 3), tuple(cell for cell in product(range(3), range(3)) if cell != (2, 1)))
HALF = IncompleteDesign((2, 2, 2), tuple((a, b, (a + b) % 2) for a in range(2) for b in range(2)))


def names(count: int) -> list[str]:
    return [str(k) for k in range(count)]


def test_a_half_fraction_aliases_main_effects_with_interactions() -> None:
    assert HALF.additive
    assert [HALF.aliases(axis) for axis in range(3)] == [[(1, 2)], [(0, 2)], [(0, 1)]]
    assert not any(HALF.estimable(a, b) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_factors_that_change_together_are_not_additive() -> None:
    assert not IncompleteDesign((3, 3), ((0, 0), (1, 1), (2, 2))).additive


def test_a_missing_cell_aliases_no_main_effect() -> None:
    assert HOLE.additive
    assert HOLE.estimable(0, 1)
    assert [HOLE.aliases(axis) for axis in (0, 1)] == [[], []]


def test_one_run_per_cell_is_the_additive_model_of_statsmodels() -> None:
    values = generator("tests", "incomplete").normal(size=8)
    cells = incomplete_cells(HOLE, np.arange(8), values, names(8))
    assert cells is not None
    rows, columns = zip(*HOLE.present, strict=True)
    fitted = ols("y ~ C(a) + C(b)", pd.DataFrame({"y": values, "a": rows, "b": columns})).fit()
    weights = cells.marginal_weights(0)
    contrast = cells.contrast(weights[1] - weights[0])
    assert contrast.value == pytest.approx(fitted.params["C(a)[T.1]"])
    assert contrast.standard_error == pytest.approx(fitted.bse["C(a)[T.1]"])
    assert contrast.df == pytest.approx(fitted.df_resid)


def test_a_complete_design_gives_the_usual_cells() -> None:
    design = IncompleteDesign((2, 3), tuple(product(range(2), range(3))))
    cell, values = np.repeat(np.arange(6), 3), generator("tests", "complete").normal(size=18)
    found, usual = incomplete_cells(design, cell, values, names(18)), replicated_cells((2, 3), cell, values, names(18))
    assert found is not None
    np.testing.assert_allclose(found.means, usual.means)
    np.testing.assert_allclose(np.diag(found.covariance), usual.variances)


def test_noise_in_an_incomplete_design_is_seldom_significant() -> None:
    rng, cell = generator("tests", "incomplete", "noise"), np.repeat(np.arange(8), 3)
    p_values = []
    for _ in range(600):
        cells = incomplete_cells(HOLE, cell, rng.normal(size=24), names(24))
        assert cells is not None
        p_values.append([anova_type_test(cells, effect).p for effect in ((0,), (1,), (0, 1))])
    assert (np.mean(np.array(p_values) < 0.05, axis=0) < 0.07).all()


def test_effects_of_an_incomplete_design_are_found_as_by_anova() -> None:
    """An effect of one level by 2 SD: the power of the classical type II F test is matched within a tenth."""
    rng, cell = generator("tests", "incomplete", "power"), np.repeat(np.arange(8), 3)
    rows, columns = (np.array(level)[cell] for level in zip(*HOLE.present, strict=True))
    found, classical = [], []
    for _ in range(60):
        values = rng.normal(size=24) + 1.5 * (rows == 0)
        cells = incomplete_cells(HOLE, cell, values, names(24))
        assert cells is not None
        found.append(anova_type_test(cells, (0,)).p < 0.05)
        table = anova_lm(ols("y ~ C(a) + C(b)", pd.DataFrame({"y": values, "a": rows, "b": columns})).fit(), typ=2)
        classical.append(table["PR(>F)"]["C(a)"] < 0.05)
    assert np.mean(found) >= 0.85 * np.mean(classical)


def test_a_fraction_without_replicates_has_no_error() -> None:
    assert incomplete_cells(HALF, np.arange(4), np.arange(4.0), list("abcd")) is None
