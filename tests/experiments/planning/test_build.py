"""Plans: what identifies a stage, what runs share, and what a reader of plan.json finds."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from setpoint.errors import InputError
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.canonical import spec_digest
from setpoint.experiments.planning.spec import planned_spec
from setpoint.language import PromptFormat
from setpoint.records.plan import Plan, read_plan, write_plan
from support.plans import change_plan
from support.sweeps import BASE, make_plan

SWEEP = {"systems": "di", "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]}}


def kinds(plan: Plan, kind: str) -> list[str]:
    return [name for name, stage in plan.stages.items() if stage.kind == kind]


def test_a_sweep_is_the_product_of_its_axes_and_replicates() -> None:
    plan = make_plan(**SWEEP, replicates=3)
    assert len(plan.runs) == 12
    assert [run.index for run in plan.runs] == list(range(12))
    assert {run.configuration for run in plan.runs} == {0, 1, 2, 3}
    assert [run.seed for run in plan.runs[:3]] == [0, 1, 2]
    assert plan.runs[0].factors == {"lora_rank": 4, "learning_rate": 1e-4}
    assert plan.runs[0].name.startswith("lora_rank=4_learning_rate=0.0001_both_s0-")
    assert len({run.name for run in plan.runs}) == 12


def test_ids_are_stable_and_names_do_not_enter_them() -> None:
    first, second = make_plan(**SWEEP), make_plan(**SWEEP)
    assert list(first.stages) == list(second.stages)
    assert spec_digest(planned_spec(first)) == spec_digest(planned_spec(second))


def test_ids_follow_content() -> None:
    ids = set(make_plan(**SWEEP).stages)
    training = set(kinds(make_plan(**SWEEP), "sft"))
    assert not training & set(make_plan(**SWEEP, data_digest="other").stages)
    assert not training & set(make_plan(**SWEEP, seed=5).stages)
    other_base = BASE.__class__(BASE.name, BASE.location, "other", BASE.preset)
    assert not training & set(make_plan(**SWEEP, base=other_base).stages)
    assert training <= set(make_plan(**SWEEP, evaluation_cases=7).stages)
    renamed = BASE.__class__("/elsewhere/tiny", "/elsewhere", BASE.digest, BASE.preset)
    assert ids == set(make_plan(**{**SWEEP, "base_model": "/elsewhere/tiny"}, base=renamed).stages)


def test_stages_come_after_what_they_need() -> None:
    plan = make_plan(**SWEEP)
    order = list(plan.stages)
    for name, stage in plan.stages.items():
        assert all(order.index(needed) < order.index(name) for needed in stage.needs.values())


def test_arms_that_differ_in_grpo_alone_share_their_sft_parent() -> None:
    plan = make_plan(systems="di", parameters={"grpo.temperature": [0.7, 1.0, 1.3]}, replicates=2)
    assert len(plan.runs) == 6
    assert len(kinds(plan, "sft")) == 2
    assert len(kinds(plan, "grpo")) == 6
    parents = {run.seed: {other.stages["sft"] for other in plan.runs if other.seed == run.seed} for run in plan.runs}
    assert all(len(found) == 1 for found in parents.values())


def test_replicates_share_no_training_stage() -> None:
    plan = make_plan(**SWEEP, replicates=2)
    by_seed = [
        {run.stages[role] for run in plan.runs if run.seed == seed for role in ("sft", "grpo")} for seed in (0, 1)
    ]
    assert not by_seed[0] & by_seed[1]


def test_training_types_share_what_is_equal() -> None:
    plan = make_plan(systems="di", training_types=["sft", "grpo", "both"])
    sft, grpo, both = plan.runs
    assert both.stages["sft"] == sft.stages["sft"]
    assert both.stages["evaluate_sft"] == sft.stages["evaluate"]
    assert plan.stages[grpo.stages["grpo"]].needs == {}
    assert plan.stages[both.stages["grpo"]].needs == {"parent": sft.stages["sft"]}
    assert plan.analysis.factors == ("training_type",)


def test_a_parameter_is_no_axis_of_a_training_type_that_does_not_read_it() -> None:
    plan = make_plan(systems="di", training_types=["sft", "both"], parameters={"grpo.temperature": [0.7, 1.0]})
    assert [run.training_type for run in plan.runs] == ["sft", "both", "both"]


def test_every_run_meets_the_same_cases() -> None:
    plan = make_plan(**SWEEP, replicates=2, evaluation_cases=20)
    evaluations = [plan.stages[name] for name in kinds(plan, "evaluate")]
    assert {(stage.seed, stage.config["cases"], stage.needs["reference"]) for stage in evaluations} == {
        (0, 20, plan.shared.reference["double_integrator"])
    }


def test_the_analysis_is_fixed_in_the_plan() -> None:
    analysis = make_plan(**SWEEP, metrics=["control_cost", "success_rate"]).analysis
    assert analysis.primary_metric == "control_cost"
    assert analysis.secondary_metrics == ("success_rate",)
    assert analysis.scale == "log"
    assert analysis.factors == ("lora_rank", "learning_rate")
    assert analysis.evaluation_modes == {"double_integrator": "open_loop"}
    assert make_plan(systems="di", parameters={"lora_rank": [4]}).analysis.factors == ()


def test_several_systems_give_specialists_for_each() -> None:
    plan = make_plan(systems=["di", "vdp"], parameters={"lora_rank": [4, 8]})
    assert [run.systems for run in plan.runs] == [("double_integrator",)] * 2 + [("van_der_pol",)] * 2
    assert plan.analysis.blocks == ("system",)
    assert len({run.configuration for run in plan.runs}) == 4


def test_plan_json_holds_the_whole_plan() -> None:
    plan = make_plan(**SWEEP)
    text = json.dumps(plan.to_json())
    assert Plan.model_validate(json.loads(text)) == plan
    assert json.loads(text)["schema"] == 1
    assert "workers" not in text


def test_a_single_run_is_named_like_its_experiment_and_shares_its_stages_with_sweeps() -> None:
    sweep = make_plan(**SWEEP)
    alone = make_plan(type="single", systems="di", fixed={"lora_rank": "4", "learning_rate": "1e-4"})
    assert [run.name for run in alone.runs] == ["sweep"]
    assert alone.runs[0].stages == sweep.runs[0].stages


def test_an_unknown_type_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'hyperparameter_sweep'"):
        make_plan(type="hyperparameter_sweeps", systems="di")


def test_a_thousand_runs_can_be_planned() -> None:
    rates = [1e-5 * (1 + k) for k in range(100)]
    assert len(make_plan(systems="di", parameters={"learning_rate": rates}, replicates=10).runs) == 1000


def test_what_is_evaluated_belongs_to_the_identity() -> None:
    standard, more = (make_plan(systems="di", evaluation=kind) for kind in ("standard", "comprehensive"))
    judging = {"reference", "evaluate"}
    assert {name for name, stage in standard.stages.items() if stage.kind in judging}.isdisjoint(more.stages)
    assert {name for name, stage in standard.stages.items() if stage.kind not in judging} <= set(more.stages)
    name, stage = next((name, stage) for name, stage in more.stages.items() if stage.kind == "evaluate")
    names = [condition["name"] for condition in stage.config["conditions"]]
    assert names == ["tight", "held_out", "noise", "mismatch"]
    rougher = copy.deepcopy(stage.config)
    rougher["conditions"][2]["disturbance"]["state_noise"] = 0.02
    assert stage_id(stage) == name
    assert stage_id(stage.model_copy(update={"config": rougher})) != name


def test_a_plan_of_a_system_that_is_gone_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    write_plan(folder, make_plan())
    change_plan(folder, lambda content: content["spec"].update(systems=["two_carts"]))
    plan = read_plan(folder)
    assert plan is not None
    with pytest.raises(InputError, match=r"unknown system 'two_carts'.*If a plug-in provides it, install the plug-in"):
        planned_spec(plan)


def dialects(plan: Plan, kind: str) -> list[dict[str, Any]]:
    return [stage.config["dialect"] for stage in plan.stages.values() if stage.kind == kind]


def test_the_prompt_format_is_swept_like_any_parameter() -> None:
    plan = make_plan(systems="di", parameters={"answer.decimals": [1, 2, "auto"]}, training_types=["sft"])
    assert [run.factors for run in plan.runs] == [{"answer.decimals": value} for value in (1, 2, "auto")]
    assert [each["control_decimals"] for each in dialects(plan, "sft")] == [1, 2, "auto"]
    assert [each["control_decimals"] for each in dialects(plan, "evaluate")] == [2, 1, 2, "auto"]
    for run in plan.runs:  # an adapter is evaluated in the format in which it was trained
        trained, evaluated = (plan.stages[run.stages[role]].config for role in ("sft", "evaluate"))
        assert trained["dialect"] == evaluated["dialect"]


def test_formats_share_the_data_and_the_reference() -> None:
    plan = make_plan(systems="di", parameters={"answer.moves": [0, 4], "prompt.template": ["short", "english"]})
    assert len({json.dumps(s.config["datasets"]) for s in plan.stages.values() if s.kind == "sft"}) == 1
    assert sum(stage.kind == "reference" for stage in plan.stages.values()) == 1


def test_answers_that_do_not_cover_the_horizon_are_judged_in_closed_loop() -> None:
    assert make_plan(systems="di").analysis.evaluation_modes["double_integrator"] == "open_loop"
    plan = make_plan(systems="di", parameters={"answer.moves": [0, 4]})
    assert plan.analysis.evaluation_modes["double_integrator"] == "closed_loop"


def test_the_base_is_evaluated_in_the_format_that_all_runs_share() -> None:
    plan = make_plan(systems="di", fixed={"prompt.template": "state"}, parameters={"answer.decimals": [1, 3]})
    (base,) = plan.shared.evaluate_base.values()
    assert plan.stages[base].config["dialect"] == {**PromptFormat().definition(), "template": "state"}


def test_the_built_in_base_keeps_its_format() -> None:
    assert dialects(make_plan(systems="di"), "sft")[0] == PromptFormat().definition()


@pytest.mark.parametrize(
    ("fixed", "words"),
    [
        ({"answer.moves": 2}, "answer.moves 2 covers 2 steps, but closed loop replans every 5"),
        ({"answer.moves": 11}, "answer.moves must be at most 10 with answer.blocking coarse_to_fine, got 11"),
    ],
)
def test_answers_that_are_too_short_or_too_long_are_refused(fixed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_plan(systems="di", fixed=fixed)
