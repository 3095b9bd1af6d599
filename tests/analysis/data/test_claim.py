"""A claim's kind, subject and evidence belong together, and survive their file."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.analysis.data.claim import (
    FORMS,
    Claim,
    ClaimKind,
    Status,
    all_caveats,
    find,
    from_json,
    of_kind,
    to_json,
    with_evidence,
)
from setpoint.analysis.data.evidence import Evidence, FailureEvidence, StageEvidence
from setpoint.analysis.data.subject import ArmPair, OneCell, OneFactor

numbers = st.floats(allow_nan=False, allow_infinity=False)
plain: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(min_value=-(2**53), max_value=2**53),
    float: numbers,
    bool: st.booleans(),
    NoneType: st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type; numbers are finite, as those of claims are."""
    arguments, origin = get_args(hint), get_origin(hint)
    if hint in plain:
        return plain[hint]
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is UnionType or (arguments and str(origin) == "typing.Union"):
        return st.one_of(*map(values, arguments))
    if origin is Mapping:
        return st.dictionaries(*map(values, arguments), max_size=3)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    hints = get_type_hints(hint)
    return st.builds(hint, **{field.name: values(hints[field.name]) for field in fields(hint)})


def claims(kind: ClaimKind) -> st.SearchStrategy[Claim]:
    form = FORMS[kind]
    return st.builds(
        Claim,
        kind=st.just(kind),
        subject=st.one_of(*(st.none() if each is NoneType else values(each) for each in form.subjects)),
        system=st.none() | st.text(),
        heading=st.text(),
        statement=st.text(),
        status=st.sampled_from(Status),
        reason=st.text(),
        method=st.text(),
        n_runs=st.integers(0, 10**6),
        estimate=st.none() | numbers,
        estimate_of=st.none() | st.text(),
        interval=st.none() | st.tuples(numbers, numbers),
        p_adjusted=st.none() | numbers,
        caveats=st.lists(st.text(), max_size=2).map(tuple),
        evidence=st.none() | values(form.evidence),
    )


@pytest.mark.parametrize("kind", ClaimKind)
@given(data=st.data())
def test_a_claim_of_every_kind_survives_its_file(kind: ClaimKind, data: st.DataObject) -> None:
    claim = data.draw(claims(kind))
    text = json.dumps(to_json(claim), allow_nan=False)
    read = from_json(json.loads(text))
    assert read == claim and read.id == claim.id
    assert json.dumps(to_json(read)) == text


def test_every_kind_has_a_form_and_every_form_of_evidence_a_kind() -> None:
    assert set(FORMS) == set(ClaimKind)
    assert {form.evidence for form in FORMS.values()} == set(get_args(Evidence))


def claim_of(kind: ClaimKind, **about: Any) -> Claim:
    return replace(open_claim(kind), **about)


def open_claim(kind: ClaimKind) -> Claim:
    subjects = {ClaimKind.FAILURES: OneFactor("rank"), ClaimKind.DIFFERENCE: ArmPair("start", "base", None)}
    return Claim(
        kind=kind,
        subject=subjects.get(kind),
        heading="Heading",
        statement="not resolved",
        status=Status.UNRESOLVED,
        reason="reason",
        method="method",
        n_runs=3,
    )


def test_numbers_that_cannot_be_printed_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        claim_of(ClaimKind.RESOLUTION, estimate=math.nan)


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        (ClaimKind.RESOLUTION, {"subject": OneFactor("rank")}),
        (ClaimKind.FAILURES, {"subject": None}),
        (ClaimKind.FAILURES, {"evidence": StageEvidence("final_error")}),
    ],
)
def test_a_subject_or_evidence_of_another_kind_is_refused(kind: ClaimKind, about: Mapping[str, Any]) -> None:
    with pytest.raises(TypeError, match="must fit its kind"):
        claim_of(kind, **about)


def test_an_id_is_made_of_kind_system_and_subject() -> None:
    assert open_claim(ClaimKind.RESOLUTION).id == "resolution"
    assert claim_of(ClaimKind.SFT_AGAINST_BASE, system="a").id == "sft_against_base:a"
    assert claim_of(ClaimKind.SFT_AGAINST_BASE, system="a", subject=OneCell("rank=4")).id == "sft_against_base:a:rank=4"
    assert claim_of(ClaimKind.DIFFERENCE, system="a").id == "difference:a:start:base:none"


def test_claims_are_found_by_what_they_are_about() -> None:
    failures = claim_of(ClaimKind.FAILURES, evidence=FailureEvidence(0.5, {"4": (1, 3)}), caveats=("one", "two"))
    overall = claim_of(ClaimKind.SFT_AGAINST_BASE, system="a", caveats=("two",))
    cell = replace(overall, subject=OneCell("rank=4"))
    made = [failures, overall, cell]
    assert of_kind(made, ClaimKind.SFT_AGAINST_BASE) == [overall, cell]
    assert find(made, ClaimKind.SFT_AGAINST_BASE, system="a") is overall
    assert find(made, ClaimKind.FAILURES, subject=OneFactor("learning_rate")) is None
    assert with_evidence(made, FailureEvidence) == [(failures, failures.evidence)]
    assert [claim.factor for claim in made] == ["rank", "", ""]
    assert all_caveats(made) == ["one", "two"]
