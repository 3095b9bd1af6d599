"""Equivalence: the claim, its limit, its margin, and what it changes in other claims."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from setpoint.analysis.data.claim import Claim, ClaimKind, Status, find, from_json, to_json
from setpoint.analysis.data.evidence import EquivalenceEvidence
from setpoint.analysis.data.subject import ArmPair, OneFactor
from setpoint.analysis.overview import experiment_claims
from setpoint.api.tables import TableAnalysis, analyze
from setpoint.errors import InputError
from setpoint.records.margin import margin_of
from setpoint.seeding import generator
from setpoint.truth.planted import as_data
from setpoint.truth.worlds import Arms

GROUPS = {4: [1.00, 1.03, 0.98, 1.01, 1.02], 8: [1.01, 0.99, 1.04, 1.00, 0.97]}


def table(groups: dict[Any, list[float]]) -> list[dict[str, Any]]:
    return [{"rank": level, "y": value} for level, values in groups.items() for value in values]


def ask(groups: dict[Any, list[float]], margin: str | float | None, **question: Any) -> TableAnalysis:
    return analyze(table(groups), response="y", factors="rank", equivalence=margin, **question)


def equivalence(analysis: TableAnalysis) -> Claim:
    claim = find(analysis.claims, ClaimKind.EQUIVALENCE, subject=OneFactor("rank"))
    assert claim is not None
    return claim


def effect(analysis: TableAnalysis) -> Claim:
    claim = find(analysis.claims, ClaimKind.MAIN_EFFECT, subject=OneFactor("rank"))
    assert claim is not None
    return claim


def test_the_p_value_is_that_of_two_one_sided_welch_tests() -> None:
    claim = equivalence(ask(GROUPS, "5%"))
    first, second, margin = np.log(GROUPS[4]), np.log(GROUPS[8]), math.log(1.05)
    below = stats.ttest_ind(first - margin, second, equal_var=False, alternative="less").pvalue
    above = stats.ttest_ind(first + margin, second, equal_var=False, alternative="greater").pvalue
    assert claim.p_adjusted == pytest.approx(max(below, above), rel=1e-9)
    assert claim.status is Status.SUPPORTED


def test_the_limit_is_below_the_margin_exactly_if_equivalence_is_supported() -> None:
    limit = equivalence(ask(GROUPS, "5%")).interval
    assert limit is not None
    just_above, just_below = f"{100 * limit[1] * 1.001:.6f}%", f"{100 * limit[1] * 0.999:.6f}%"
    assert equivalence(ask(GROUPS, just_above)).status is Status.SUPPORTED
    assert equivalence(ask(GROUPS, just_below)).status is Status.UNRESOLVED


def test_not_resolved_splits_into_equivalent_and_open() -> None:
    assert "not evidence of no effect" in effect(ask(GROUPS, None)).reason
    assert effect(ask(GROUPS, "5%")).reason.endswith(", and smaller than 5 %")
    opened = ask(GROUPS, "1%")
    assert "open: differences up to " in effect(opened).reason
    assert equivalence(opened).statement.startswith("not resolved: differences up to ")


def test_a_significant_difference_may_still_be_smaller_than_the_margin() -> None:
    shifted = {4: GROUPS[4], 8: [1.1 * value for value in GROUPS[8]]}
    both = ask(shifted, "30%")
    assert effect(both).status is equivalence(both).status is Status.SUPPORTED


def test_all_pairs_of_levels_must_be_equivalent() -> None:
    three = {**GROUPS, 16: [1.2 * value for value in GROUPS[4]]}
    assert equivalence(ask(three, "15%")).status is Status.UNRESOLVED
    assert equivalence(ask(three, "30%")).status is Status.SUPPORTED


def test_equivalence_is_at_most_suggestive_in_an_interaction() -> None:
    rng = generator("interaction")
    rows = [
        {"rank": rank, "rate": rate, "y": math.exp(0.5 * (1 if rank == rate else -1) + 0.01 * rng.standard_normal())}
        for rank in (0, 1)
        for rate in (0, 1)
        for _ in range(5)
    ]
    claims = analyze(rows, response="y", factors=["rank", "rate"], equivalence="5%").claims
    claim = find(claims, ClaimKind.EQUIVALENCE, subject=OneFactor("rank"))
    assert claim is not None and claim.p_adjusted is not None and claim.p_adjusted < 0.05
    assert claim.status is Status.SUGGESTIVE
    assert "depends on rate" in claim.reason


def test_no_variance_is_not_testable_and_adaptive_data_are_exploratory() -> None:
    assert equivalence(ask({4: [1.0, 1.0], 8: [1.0, 1.0]}, "5%")).status is Status.NOT_TESTABLE
    searched = equivalence(ask(GROUPS, "5%", adaptive=True))
    assert searched.status is Status.SUGGESTIVE and searched.statement.startswith("exploratory: ")


def test_without_a_margin_nothing_is_asked() -> None:
    assert not [claim for claim in ask(GROUPS, None).claims if claim.kind is ClaimKind.EQUIVALENCE]


def test_arms_are_compared_on_every_system() -> None:
    world = Arms("strategy", "training_ablation", ("pendulum",), {"a": [0.0], "b": [0.0]}, 8, run_sd=0.05)
    claims = experiment_claims(as_data(replace(world.sample(generator("arms")), equivalence=0.2)))
    claim = find(claims, ClaimKind.EQUIVALENCE, subject=ArmPair("strategy", "a", "b"), system="pendulum")
    assert claim is not None and claim.status is Status.SUPPORTED
    assert isinstance(claim.evidence, EquivalenceEvidence) and claim.evidence.limit < math.log(1.2)
    assert from_json(to_json(claim)) == claim
    whole = find(claims, ClaimKind.EQUIVALENCE, subject=OneFactor("strategy"))
    assert whole is not None and from_json(to_json(whole)) == whole


@pytest.mark.parametrize(
    ("text", "logarithmic", "message"),
    [
        ("0.05", True, "is a percentage"),
        ("5%", False, "units of the metric"),
        ("0%", True, "must be positive"),
        ("-5%", True, "must be positive"),
        ("five", True, "must be positive"),
        ("2000%", True, "at most 1000%"),
        ("1e999", False, "must be positive"),
    ],
)
def test_margins_of_the_wrong_form_are_refused(text: str, logarithmic: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        margin_of(text, logarithmic=logarithmic)


def test_margins_are_read() -> None:
    assert margin_of("5%", logarithmic=True) == margin_of(" 5 % ", logarithmic=True) == 0.05
    assert margin_of("0.02", logarithmic=False) == margin_of("2e-2", logarithmic=False) == 0.02
