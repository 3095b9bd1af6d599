"""Methods on datasets: ranks within blocks, against scipy and published tables of critical differences."""

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.arms.block_ranks import critical_difference
from setpoint.analysis.data.claim import Claim, Status
from setpoint.api.tables import analyze
from setpoint.seeding import generator


def ranks(shift: float) -> tuple[Claim, np.ndarray]:
    rng = generator("tests", "ranks", str(shift))
    scale = np.exp(3.0 * rng.standard_normal(12))[:, None]
    values = scale * np.exp(0.3 * rng.standard_normal((12, 4)) + shift * np.arange(4))
    rows = [{"method": f"m{m}", "data": f"d{d}", "error": float(values[d, m])} for d in range(12) for m in range(4)]
    found = analyze(rows, response="error", factors="method", block="data")
    return next(claim for claim in found.claims if claim.id == "ranks:method"), values


def test_the_ranks_of_methods_over_datasets_are_friedmans() -> None:
    claim, values = ranks(0.15)
    assert claim.p_adjusted == pytest.approx(stats.friedmanchisquare(*values.T).pvalue, abs=0.02)
    assert claim.heading == "Ranks of method over data"
    assert "12 complete blocks (data)" in claim.statement


def test_clear_ranks_are_suggestive_and_name_the_pairs() -> None:
    claim, _ = ranks(0.6)
    assert claim.status is Status.SUGGESTIVE
    assert "pairs that differ (Wilcoxon, Holm): m0 and m1" in claim.statement


def test_the_critical_difference_is_that_of_demsar() -> None:
    """Table 5 of Demšar (2006): q = 2.569 for four methods at 5 %."""
    assert critical_difference(4, 14, 0.05) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)


def test_numeric_factors_and_nested_columns_are_named() -> None:
    rng = generator("tests", "nested")
    rows = [
        {"dose": dose, "patient": f"p{dose}-{k}", "y": float(np.exp(rng.standard_normal()))}
        for dose in range(6)
        for k in range(3)
        for _ in range(2)
    ]
    found = analyze(rows, response="y", factors="dose", block="patient")
    assert any(note.startswith("dose is numeric with 6 levels") for note in found.notes)
    assert any(note.startswith("every patient has a single dose") for note in found.notes)
    assert next(claim for claim in found.claims if claim.id == "main_effect:dose").n_runs == 18
