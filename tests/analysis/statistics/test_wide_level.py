"""Many levels with few runs, one of which may vary much more than the others: significant, but not supported."""

import numpy as np
import pytest

import setpoint as sp
from setpoint.analysis.data.claim import Status
from setpoint.analysis.statistics.cells import replicated_cells
from setpoint.analysis.statistics.effects import anova_type_test, wide_level_factor
from setpoint.seeding import generator
from setpoint.truth.consistency import contradictions


def rows(
    rng: np.random.Generator, levels: int, runs: int, wide: float = 1.0, effect: float = 0.0
) -> list[dict[str, object]]:
    return [
        {"x": f"level {k}", "y": float((wide if k == 0 else 1.0) * rng.standard_normal() - effect * (k == 1))}
        for k in range(levels)
        for _ in range(runs)
    ]


def test_the_factor_grows_with_levels_and_falls_with_runs() -> None:
    assert wide_level_factor(3, 3) == wide_level_factor(2, 2) == 1.0
    assert wide_level_factor(8, 3) == pytest.approx(3.0)
    factors = [wide_level_factor(8, runs) for runs in (3, 4, 5, 10, 30)]
    assert factors == sorted(factors, reverse=True) and factors[-1] < 1.03


def test_eight_levels_of_three_runs_hold_their_level_only_with_it() -> None:
    rng = generator("wide level")
    spread = np.array([5.0] + [1.0] * 7)[:, None]
    cell, labels = np.repeat(np.arange(8), 3), [str(k) for k in range(24)]
    tables = [(spread * rng.standard_normal((8, 3))).ravel() for _ in range(3000)]
    p = np.array([anova_type_test(replicated_cells((8,), cell, table, labels), (0,)).p for table in tables])
    assert np.mean(p < 0.05) > 0.075
    assert np.mean(p * wide_level_factor(8, 3) < 0.05) < 0.068


def test_what_a_wide_level_could_explain_is_suggestive_and_says_so() -> None:
    found = []
    for draw in range(60):
        analysis = sp.analyze(
            rows(generator("wide claims", draw), 6, 3, effect=2.0), response="y", factors="x", scale="linear"
        )
        assert contradictions(list(analysis.claims), 0.05) == []
        (effect,) = [claim for claim in analysis.claims if claim.id == "main_effect:x"]
        (best,) = [claim for claim in analysis.claims if claim.id == "optimal_level:x"]
        assert effect.p_adjusted is not None
        careful = effect.p_adjusted * wide_level_factor(6, 3)
        assert ("if one level varies most" in effect.reason) == (effect.p_adjusted < 0.05 <= careful)
        if effect.p_adjusted < 0.05 <= careful:
            found.append(effect)
            assert effect.status is Status.SUGGESTIVE and best.status is not Status.SUPPORTED
    assert len(found) > 3
