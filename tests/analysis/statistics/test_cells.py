"""Cell means, effects and comparisons against textbook formulas and scipy."""

import math

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.statistics import effects, levels
from setpoint.analysis.statistics.cells import Cells, replicated_cells, unreplicated_cells
from setpoint.seeding import generator


def independent(count: int) -> list[str]:
    return [f"run {i}" for i in range(count)]


def one_way(groups: list[np.ndarray]) -> Cells:
    cell = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return replicated_cells((len(groups),), cell, np.concatenate(groups), independent(len(cell)))


def pooled_one_way(groups: list[np.ndarray]) -> Cells:
    counts = np.array([len(group) for group in groups])
    df = counts.sum() - len(groups)
    variance = sum(((group - group.mean()) ** 2).sum() for group in groups) / df
    means = np.array([group.mean() for group in groups])
    everything = (np.arange(len(groups)),)
    covariance = np.diag(variance / counts)
    return Cells((len(groups),), means, covariance, everything, np.array([float(df)]), int(counts.sum()), pooled=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return generator("tests", "statistics")


def test_two_cells_give_welch_t(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, 4), rng.normal(1, 3, 7)
    test = effects.anova_type_test(one_way([a, b]), (0,))
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert test.statistic == pytest.approx(welch.statistic**2)
    assert test.df_error == pytest.approx(welch.df)
    assert test.p == pytest.approx(welch.pvalue)


def test_shared_clusters_give_the_paired_t(rng: np.random.Generator) -> None:
    a = rng.normal(0, 1, 6)
    b = a + rng.normal(0.5, 0.3, 6)
    cells = replicated_cells((2,), np.repeat([0, 1], 6), np.concatenate([a, b]), [f"parent {i}" for i in range(6)] * 2)
    paired = stats.ttest_rel(a, b)
    assert effects.anova_type_test(cells, (0,)).p == pytest.approx(paired.pvalue)
    contrast = cells.contrast(np.array([1.0, -1.0]))
    assert contrast.value / contrast.standard_error == pytest.approx(paired.statistic)
    assert contrast.df == pytest.approx(5)


def test_one_run_per_cell_gives_the_additive_two_way_f(rng: np.random.Generator) -> None:
    table = rng.normal(size=(4, 3)) + np.array([0, 1, 2, 3])[:, None]
    cells = unreplicated_cells((4, 3), table.ravel())
    assert cells is not None
    rows = 3 * ((table.mean(axis=1) - table.mean()) ** 2).sum() / 3
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    error = (residual**2).sum() / 6
    test = effects.anova_type_test(cells, (0,))
    assert test.statistic == pytest.approx(rows / error)
    assert (test.df_effect, test.df_error) == (pytest.approx(3), pytest.approx(6))
    assert test.p == pytest.approx(stats.f.sf(rows / error, 3, 6))


def test_pooled_variance_gives_the_one_way_f(rng: np.random.Generator) -> None:
    groups = [rng.normal(size=n) for n in (4, 4, 4)]
    expected = stats.f_oneway(*groups)
    test = effects.anova_type_test(pooled_one_way(groups), (0,))
    assert (test.statistic, test.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_two_by_two_has_too_few_error_df_without_replicates() -> None:
    assert unreplicated_cells((2, 2), np.arange(4.0)) is None


def test_effect_projectors_are_orthogonal_and_complete() -> None:
    shape = (3, 2, 2)
    subsets = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    projectors = [effects.effect_projector(shape, subset) for subset in subsets]
    total = sum(projectors) + np.full((12, 12), 1 / 12)
    np.testing.assert_allclose(total, np.eye(12), atol=1e-12)
    for i, first in enumerate(projectors):
        for second in projectors[:i]:
            np.testing.assert_allclose(first @ second, 0, atol=1e-12)


def test_holm_by_hand() -> None:
    assert effects.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert effects.holm([]) == []
    assert effects.holm([0.9, 0.8]) == [1.0, 1.0]


def test_of_two_levels_each_against_the_rest_is_welch(rng: np.random.Generator) -> None:
    a, b = rng.normal(0, 1, 5), rng.normal(1, 2, 5)
    first, second = levels.each_against_rest(one_way([a, b]), np.eye(2), alpha=0.05)
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert first is not None and second is not None
    assert first.p_adjusted == pytest.approx(welch.pvalue)
    assert second.value == pytest.approx(-first.value)
    interval = welch.confidence_interval(0.95)
    assert first.interval == pytest.approx((interval.low, interval.high))


def test_a_mean_over_many_cells_of_two_runs_keeps_its_degrees_of_freedom(rng: np.random.Generator) -> None:
    weights = np.full(16, 1.0 / 16.0)
    cell = np.repeat(np.arange(16), 2)
    plain, kept, held = [], [], 0
    for _ in range(300):
        cells = replicated_cells((16,), cell, rng.normal(size=32), independent(32))
        found = cells.mean_of(weights)
        plain.append(cells.contrast(weights).df)
        kept.append(found.df)
        held += abs(found.value) < stats.t.isf(0.025, found.df) * found.standard_error
    assert np.mean(plain) < 8.0 < np.mean(kept) < 16.0
    assert held / 300 == pytest.approx(0.95, abs=0.04)
    pair = one_way([rng.normal(size=5), rng.normal(size=5)])
    assert pair.mean_of(np.array([1.0, 0.0])).df == pytest.approx(pair.contrast(np.array([1.0, 0.0])).df)


def test_clear_winner_is_the_only_possible_best(rng: np.random.Generator) -> None:
    groups = [rng.normal(mean, 0.1, 5) for mean in (3, 1, 3)]
    assert levels.possibly_best(one_way(groups), np.eye(3), alpha=0.05) == [1]
    assert levels.possibly_best(one_way([rng.normal(0, 1, 5) for _ in range(3)]), np.eye(3), alpha=1e-6) == [0, 1, 2]


@pytest.mark.parametrize("factor", [0, 1])
def test_the_set_of_possibly_best_levels_is_that_of_all_pairs(rng: np.random.Generator, factor: int) -> None:
    """By its definition: a level stays unless another beats it by a one-sided Welch t with Bonferroni's correction."""
    sizes = set()
    for _ in range(60):
        cell = np.repeat(np.arange(12), 3)
        values = 0.5 * (cell // 4) + 0.4 * (cell % 4) + rng.normal(0, rng.uniform(0.2, 1.5, 12)[cell])
        cells = replicated_cells((3, 4), cell, values, independent(36))
        weights = cells.marginal_weights(factor)
        kept = []
        for loser in range(len(weights)):
            contrasts = [cells.contrast(weights[loser] - row) for k, row in enumerate(weights) if k != loser]
            share = 1.0 - 0.05 / (len(weights) - 1)
            if not any(c.value > stats.t.ppf(share, c.df) * c.standard_error for c in contrasts):
                kept.append(loser)
        assert levels.possibly_best(cells, weights, 0.05) == kept
        sizes.add(len(kept))
    assert len(sizes) >= 3


def test_scaling_the_metric_leaves_p_alone(rng: np.random.Generator) -> None:
    values = rng.lognormal(size=18)
    cell = np.repeat(np.arange(6), 3)
    plain, scaled = (
        effects.anova_type_test(replicated_cells((3, 2), cell, np.log(values * unit), independent(18)), (0,))
        for unit in (1.0, 1000.0)
    )
    assert plain.p == pytest.approx(scaled.p)


def test_order_of_runs_and_of_levels_does_not_matter(rng: np.random.Generator) -> None:
    values, cell = rng.normal(size=18), np.repeat(np.arange(6), 3)
    shuffled = rng.permutation(18)
    first = effects.anova_type_test(replicated_cells((3, 2), cell, values, independent(18)), (0,))
    again = replicated_cells((3, 2), cell[shuffled], values[shuffled], independent(18))
    assert effects.anova_type_test(again, (0,)).p == pytest.approx(first.p)
    relabelled = replicated_cells((3, 2), (cell + 2) % 6, values, independent(18))
    assert effects.anova_type_test(relabelled, (0,)).p == pytest.approx(first.p)


def test_probability_of_largest_is_reproducible_and_finds_the_factor(rng: np.random.Generator) -> None:
    cell = np.repeat(np.arange(6), 3)
    values = 3.0 * (cell // 2) + rng.normal(0, 0.5, 18)
    cells = replicated_cells((3, 2), cell, values, independent(18))
    first, again = (effects.probability_of_largest(cells, [(0,), (1,)], generator("a")) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first[0] > 0.99
    assert first.sum() == pytest.approx(1.0)


def test_variance_components_are_unbiased(rng: np.random.Generator) -> None:
    cell = np.repeat(np.arange(6), 3)
    truth = np.array([0.0, 1.0, 2.0])
    found = []
    for _ in range(400):
        values = truth[cell // 2] + rng.normal(size=18)
        cells = replicated_cells((3, 2), cell, values, independent(18))
        found.append(effects.variance_components(cells, [(0,), (1,)]))
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(truth.var(), abs=0.1)
    assert mean[1] == pytest.approx(0.0, abs=0.05)


def test_equal_runs_have_no_spread() -> None:
    cells = replicated_cells((2,), np.repeat([0, 1], 2), np.array([0.3, 0.1 + 0.2, 0.5, 0.5]), independent(4))
    assert not cells.has_spread


def test_levels_without_spread_of_their_own_borrow_the_average() -> None:
    values = np.array([1.0, 1.0, 2.0, 2.0, 5.0, 7.0])
    cells = replicated_cells((3,), np.repeat([0, 1, 2], 2), values, independent(6))
    contrast = cells.contrast(np.array([1.0, -1.0, 0.0]))
    assert contrast.estimable
    assert contrast.standard_error == pytest.approx(math.sqrt(2 / 3))
    assert contrast.df == pytest.approx(1)


def familywise_errors(simulations: int, *, split_plot: bool, deviations: np.ndarray, replicates: int) -> float:
    """How often any main effect of a 3 × 4 null is called significant after Holm.

    In a split plot the runs of a row and replicate share a parent, which moves all of them together.
    """
    rng = generator("tests", "type one", str(split_plot), replicates)
    cell = np.tile(np.arange(12), replicates)
    replicate = np.repeat(np.arange(replicates), 12)
    parent = replicate * 3 + cell // 4
    clusters = [f"parent {i}" for i in parent] if split_plot else independent(len(cell))
    errors = 0
    for _ in range(simulations):
        values = rng.normal(size=len(cell)) * deviations[cell % 4]
        if split_plot:
            values += rng.normal(size=parent.max() + 1)[parent]
        cells = replicated_cells((3, 4), cell, values, clusters)
        errors += min(effects.holm([effects.anova_type_test(cells, (k,)).p for k in (0, 1)])) < 0.05
    return errors / simulations


@pytest.mark.parametrize("split_plot", [False, True])
def test_type_one_error_is_roughly_held(split_plot: bool) -> None:
    assert familywise_errors(400, split_plot=split_plot, deviations=np.ones(4), replicates=3) <= 0.085


def test_type_one_error_without_replicates_is_held() -> None:
    rng = generator("tests", "type one", "unreplicated")
    errors = 0
    for _ in range(2000):
        cells = unreplicated_cells((3, 4), rng.normal(size=12))
        assert cells is not None
        errors += min(effects.holm([effects.anova_type_test(cells, (k,)).p for k in (0, 1)])) < 0.05
    assert errors / 2000 == pytest.approx(0.05, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("split_plot", [False, True])
@pytest.mark.parametrize("deviations", [np.ones(4), np.array([0.3, 0.3, 1.0, 3.0])], ids=["equal", "unequal"])
@pytest.mark.parametrize("replicates", [2, 3, 5])
def test_type_one_error_is_held(split_plot: bool, deviations: np.ndarray, replicates: int) -> None:
    assert familywise_errors(4000, split_plot=split_plot, deviations=deviations, replicates=replicates) <= 0.06


def test_the_set_of_possibly_best_levels_holds_the_best() -> None:
    rng = generator("tests", "best set")
    held = 0
    for _ in range(400):
        groups = [rng.normal(mean, deviation, 4) for mean, deviation in ((0.0, 2.0), (0.1, 0.5), (0.1, 0.5))]
        held += 0 in levels.possibly_best(one_way(groups), np.eye(3), alpha=0.05)
    assert held / 400 >= 0.93
