"""Trends of numeric factors in tables: what is claimed, and what is refused."""

from typing import Any

import numpy as np
import pytest

import setpoint as sp
from setpoint.analysis.data.claim import Claim, Status
from setpoint.analysis.data.evidence import TrendEvidence
from setpoint.errors import InputError
from setpoint.seeding import generator
from setpoint.truth.consistency import contradictions
from support.claims import evidence_of


def table(effect: Any, runs: int = 5, levels: tuple[float, ...] = (4, 8, 16, 32, 64), spread: float = 0.2) -> list[Any]:
    rng = generator("trend", runs)
    return [
        {"rank": level, "kind": kind, "y": float(np.exp(effect(k, kind) + spread * rng.standard_normal()))}
        for k, level in enumerate(levels)
        for kind in ("a", "b")
        for _ in range(runs)
    ]


def claims(rows: list[Any], **more: Any) -> dict[str, Claim]:
    found = sp.analyze(rows, response="y", factors=["rank", "kind"], trend="rank", **more)
    assert contradictions(list(found.claims), 0.05) == []
    return {claim.id: claim for claim in found.claims}


def test_a_line_is_a_linear_trend_without_curvature() -> None:
    found = claims(table(lambda k, _: -0.3 * k))
    linear, bent = found["trend:rank:linear"], found["trend:rank:curvature"]
    assert linear.status is Status.SUPPORTED and bent.status is Status.UNRESOLVED
    assert linear.estimate == pytest.approx(-1.2, abs=0.2)
    assert linear.interval is not None and linear.interval[1] < 0.0
    assert "y falls with rank (×0.3" in linear.statement and "from 4 to 64 on a logarithmic axis" in linear.statement
    evidence = evidence_of(linear, TrendEvidence)
    assert (evidence.lowest, evidence.highest, evidence.logarithmic_axis) == (4, 64, True)


def test_a_bend_is_a_curvature_and_makes_the_main_effect() -> None:
    found = claims(table(lambda k, _: 0.3 * (k - 2) ** 2))
    assert found["trend:rank:curvature"].status is Status.SUPPORTED
    assert "lower half-way than on a straight line" in found["trend:rank:curvature"].statement
    assert found["trend:rank:linear"].status is Status.UNRESOLVED
    assert found["main_effect:rank"].status is Status.SUPPORTED
    assert found["main_effect:rank"].p_adjusted == found["trend:rank:curvature"].p_adjusted
    assert "contrasts" in found["main_effect:rank"].method


def test_a_trend_is_stated_in_the_direction_of_the_response() -> None:
    rows = table(lambda k, _: 0.3 * k)
    worse, better = claims(rows), claims(rows, larger_is_better=True)
    for name in ("trend:rank:linear", "trend:rank:curvature"):
        assert worse[name].estimate == pytest.approx(better[name].estimate)
        assert worse[name].interval == pytest.approx(better[name].interval)
    assert "y rises with rank" in better["trend:rank:linear"].statement


def test_a_trend_that_depends_on_another_factor_is_suggestive() -> None:
    found = claims(table(lambda k, kind: -0.5 * k * (kind == "a")))
    linear = found["trend:rank:linear"]
    assert linear.status is Status.SUGGESTIVE and "it depends on kind" in linear.reason


def test_runs_that_fail_at_the_bad_end_take_the_trend_back() -> None:
    """The worse runs of the wide last level die: what is left looks like an improvement."""
    rng = generator("dying trend")
    rows = []
    for k in range(4):
        for _ in range(12):
            value = (1.5 if k == 3 else 0.2) * rng.standard_normal()
            rows.append({"x": k, "y": None if value > 0.3 else float(np.exp(value))})
    (linear,) = [c for c in sp.analyze(rows, response="y", factors="x", trend="x").claims if "linear" in c.id]
    assert linear.status is not Status.SUPPORTED and linear.interval is None


def test_numeric_factors_without_a_trend_are_named_with_what_to_do() -> None:
    rows = table(lambda k, _: 0.0, levels=(1, 2, 3, 4))
    plain = sp.analyze(rows, response="y", factors=["rank", "kind"])
    assert any("whether y rises or falls with it, add --trend rank" in note for note in plain.notes)
    for other in (
        sp.analyze(rows, response="y", factors=["rank", "kind"], trend=["rank"]),
        sp.analyze([r for r in rows if r["rank"] < 4], response="y", factors=["rank", "kind"]),
    ):
        assert not any("--trend" in note for note in other.notes)


@pytest.mark.parametrize(
    ("trend", "message"),
    [
        ("kind", "a trend needs numbers, but column 'kind' has 'a'"),
        ("seed", "trend must name a factor, got 'seed'"),
        ("few", "needs at least 3 levels, but column 'few' has 2"),
    ],
)
def test_a_trend_without_numbers_or_levels_is_refused(trend: str, message: str) -> None:
    rows = [{**row, "few": row["rank"] > 8, "seed": 1} for row in table(lambda k, _: 0.0)]
    rows = [{**row, "few": int(row["few"])} for row in rows]
    with pytest.raises(InputError, match=message):
        sp.analyze(rows, response="y", factors=["rank", "kind", "few"], trend=trend)
