"""The equivalence margin of a specification: frozen in the plan, part of the identity, of the metric's scale."""

import pytest

from setpoint.errors import InputError
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import checked_spec, spec_digest
from setpoint.policies import resolve_base
from setpoint.records.plan import NamedDigest, Plan

FIELDS = {"systems": ["double_integrator"], "training_types": ["sft"], "parameters": {"lora_rank": [2, 8]}}


def plan_with(**fields: object) -> Plan:
    spec = checked_spec({**FIELDS, **fields})
    data = {"double_integrator": NamedDigest(name="double_integrator", digest="0")}
    return build_plan(spec, "margin", Inputs(resolve_base("builtin:tiny"), data))


def test_the_margin_is_frozen_in_the_plan() -> None:
    analysis = plan_with(equivalence="5 %").analysis
    assert analysis.equivalence == 0.05
    assert "equivalence" not in plan_with().to_json()["analysis"]


def test_another_margin_is_another_experiment() -> None:
    digests = {spec_digest(checked_spec({**FIELDS, "equivalence": margin})) for margin in (None, "5%", "2%")}
    assert len(digests) == 3


def test_a_rate_has_a_margin_in_its_own_unit() -> None:
    assert plan_with(metrics=["success_rate"], equivalence=0.02).analysis.margin == 0.02
    with pytest.raises(InputError, match="units of the metric"):
        plan_with(metrics=["success_rate"], equivalence="2%")
    with pytest.raises(InputError, match="is a percentage"):
        plan_with(equivalence=0.02)
