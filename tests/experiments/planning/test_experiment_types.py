"""The experiment types: which runs each makes, and what those share."""

from pathlib import Path
from typing import Any

import pytest

from setpoint.analysis.data.reading import read_experiment
from setpoint.artifacts import Workspace
from setpoint.cli.plan_view import plan_text
from setpoint.errors import InputError
from setpoint.experiments.launch import Preparation
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import TransferSpec, make_spec, planned_spec
from setpoint.experiments.planning.start_adapters import (
    canonical_place,
    finished_adapters,
    named_adapter,
    planned_adapters,
)
from setpoint.experiments.request import Request
from setpoint.records.plan import NamedDigest, Plan
from setpoint.reports import write_reports
from setpoint.reports.results import result_rows
from support.sweeps import BASE, make_plan, run_plan
from support.synthetic_experiment import Synthetic

CROSS = {"type": "cross_system", "systems": ["di", "vdp"]}
ABLATION = {"type": "training_ablation", "systems": "van_der_pol"}
TRANSFER = {"type": "transfer_learning", "source_system": "di", "target_systems": ["vdp", "pendulum"]}


def build(workspace: Workspace, **fields: Any) -> Plan:
    """The plan of `fields` with the adapters of a workspace."""
    spec = canonical_spec(make_spec(fields))
    datasets = {system: NamedDigest(name=system, digest="d0") for system in spec.systems}
    adapters = []
    if isinstance(spec, TransferSpec):
        adapters = finished_adapters(workspace, spec.source_system, BASE)
    return build_plan(spec, "sweep", Inputs(BASE, datasets, adapters))


def test_across_systems_there_is_a_specialist_for_each_and_one_universal_model() -> None:
    plan = make_plan(**CROSS, training_types="grpo", replicates=2)
    assert [run.systems for run in plan.runs[::2]] == [
        ("double_integrator",),
        ("van_der_pol",),
        ("double_integrator", "van_der_pol"),
    ]
    assert [run.factors["model_type"] for run in plan.runs[::2]] == ["specialist", "specialist", "universal"]
    assert plan.analysis.factors == ("model_type",)
    universal = plan.runs[-1]
    assert set(universal.stages) == {"grpo", "evaluate:double_integrator", "evaluate:van_der_pol"}
    config = plan.stages[universal.stages["grpo"]].config
    assert config["systems"] == ["double_integrator", "van_der_pol"]
    assert [data["name"] for data in config["datasets"]] == config["systems"]


def test_a_universal_model_sees_as_much_of_each_system_as_a_specialist_or_as_much_in_total() -> None:
    for match, factor in (("per_system", 2), ("total", 1)):
        specialist, _, universal = make_plan(**CROSS, match=match, training_types="sft").runs
        assert universal.resolved["sft"]["steps"] == factor * specialist.resolved["sft"]["steps"]


def test_specialists_and_the_universal_model_are_rewarded_for_the_same_steps() -> None:
    runs = make_plan(**CROSS, training_types="grpo").runs
    assert {run.resolved["grpo"]["reward_horizon"] for run in runs} == {5}
    # Where that is not what the system would have alone, the command of the single run says it.
    assert ["grpo.reward_horizon=5" in run.command for run in runs] == [True, False, False]
    given = make_plan(**CROSS, training_types="grpo", fixed={"grpo.reward_horizon": 0}).runs
    assert {run.resolved["grpo"]["reward_horizon"] for run in given} == {0}
    assert "reward_horizon" not in make_plan(**CROSS, training_types="sft").runs[0].command


def test_an_ablation_is_strategies_with_one_sft_parent_for_each_replicate() -> None:
    plan = make_plan(**ABLATION, replicates=3)
    assert [run.factors["strategy"] for run in plan.runs[::3]] == ["sft_only", "sft_then_grpo", "grpo_from_scratch"]
    assert len([stage for stage in plan.stages.values() if stage.kind == "sft"]) == 3
    assert plan.analysis.factors == ("strategy",)
    assert plan.runs[3].name.startswith("sft_then_grpo_s0-")


def test_a_transfer_trains_the_source_and_every_target_from_it_and_from_the_base() -> None:
    plan = make_plan(**TRANSFER, training_types="sft", replicates=2)
    assert len(plan.runs) == 2 * (1 + 2 * 2)
    sources = plan.runs[:2]
    onward = [run for run in plan.runs if run.factors["start"] == "source"]
    assert [run.start for run in onward] == [sources[run.replicate].stages["sft"] for run in onward]
    for run in onward:
        assert plan.stages[run.stages["sft"]].needs == {"parent": run.start}
        assert plan.stages[run.stages["evaluate_start"]].needs["adapter"] == run.start
    scratch = [run for run in plan.runs[2:] if run.factors["start"] == "base"]
    assert {run.resolved["sft"]["steps"] for run in onward} == {run.resolved["sft"]["steps"] for run in scratch}
    assert all(run.start is None for run in scratch)


def test_a_transfer_takes_every_finished_adapter_of_the_source_if_asked(tmp_path: Path) -> None:
    earlier = make_plan(systems="di", training_types="both", fixed={"lora_rank": 4}, replicates=3)
    run_plan(tmp_path, earlier)
    run_plan(tmp_path, make_plan(systems="vdp").model_copy(update={"experiment": "other"}))
    workspace = Workspace(tmp_path)
    plan = build(workspace, **TRANSFER, base_models="all_available", training_types="sft", replicates=2)
    starts = list(dict.fromkeys(run.factors["start"] for run in plan.runs))
    assert starts[:2] == ["base", "source"]
    assert [start[:7] for start in starts[2:]] == ["sft_r4-", "grpo_r4"]
    for run in plan.runs:
        if run.factors["start"] == starts[3]:
            assert run.start == earlier.runs[run.replicate].stages["grpo"]
            assert run.resolved["lora"]["rank"] == 4
    before = run_plan(tmp_path, plan.model_copy(update={"experiment": "third"}))
    assert before.counts == {"ok": len(plan.runs)}
    assert {adapter.place for adapter in planned_adapters(plan, plan.adapters)} == set(plan.adapters)
    assert build(workspace, **TRANSFER, base_models="all_available", training_types="sft").adapters != plan.adapters


def prepared(workspace: Workspace, plan: Plan) -> Preparation:
    request = Request(workspace, plan.experiment, planned_spec(plan), BASE, None)
    return Preparation(request, plan, plan.datasets, ())


def test_a_plan_says_which_adapters_from_outside_it_goes_on_from(tmp_path: Path) -> None:
    run_plan(tmp_path, make_plan(systems="di", training_types="sft", parameters={"lora_rank": [4, 16]}, replicates=2))
    workspace = Workspace(tmp_path)
    plan = build(workspace, **TRANSFER, base_models="all_available", training_types="sft", replicates=3)
    text = plan_text(prepared(workspace, plan))
    # Five arms that are trained here, and on each of two targets two recipes of which there are two adapters.
    assert "Runs: 5 configurations x 3 replicates + 4 configurations x 2 replicates = 23" in text
    for run in plan.runs:
        if str(run.factors["start"]).startswith("sft_r4-"):
            assert f"Start {run.factors['start']}: adapter sft/{run.start}" in text


def test_a_plan_says_what_has_as_many_points_as_were_asked_for(tmp_path: Path) -> None:
    drawn = {"design": "sobol", "configurations": 4, "ranges": {"learning_rate": {"min": 1e-5, "max": 1e-3}}}
    one, two = (
        plan_text(prepared(Workspace(tmp_path), make_plan(systems="di", training_types=types, **drawn)))
        for types in (["sft"], ["sft", "both"])
    )
    assert "Runs: 4 configurations x 1 replicate = 4" in one
    assert "Design: 4 points of a Sobol sequence\n" in one
    assert "Runs: 8 configurations x 1 replicate = 8" in two
    assert "Design: 4 points of a Sobol sequence for each training type\n" in two


def test_existing_adapters_keep_their_shape(tmp_path: Path) -> None:
    run_plan(tmp_path)
    with pytest.raises(InputError, match="cannot be swept"):
        build(Workspace(tmp_path), **TRANSFER, base_models="all_available", parameters={"lora_rank": [4, 8]})


def test_an_adapter_is_named_by_its_stage_or_its_folder_or_a_link(tmp_path: Path) -> None:
    plan = make_plan(systems="di", training_types="sft")
    run_plan(tmp_path, plan)
    workspace, (run,) = Workspace(tmp_path), plan.runs
    place = f"sft/{run.stages['sft']}"
    folder = tmp_path / "stages" / place
    (folder / "adapter").mkdir()
    link = tmp_path / "models" / "single_system" / "double_integrator" / "sft" / run.name
    for text in (place, str(folder), str(folder / "adapter"), str(link)):
        assert canonical_place(workspace, text) == place
    assert named_adapter(workspace, place, BASE).id == run.stages["sft"]
    with pytest.raises(InputError, match="no finished adapter"):
        named_adapter(workspace, "sft/none", BASE)
    with pytest.raises(InputError, match="was not trained on base model 'other'"):
        named_adapter(workspace, place, BASE.__class__("other", "", "b1", BASE.preset))


def test_results_have_a_row_for_each_system_of_a_universal_model(tmp_path: Path) -> None:
    systems = ("double_integrator", "van_der_pol")
    folder = Synthetic(tmp_path, systems=systems, factors={}, training_type="sft", replicates=2, universal=True).write()
    data = read_experiment(folder)
    rows = [row for row in result_rows(data) if row["model_type"] == "universal"]
    assert [row["system"] for row in rows] == [*systems, *systems]
    assert all(isinstance(row["final_error"], float) for row in rows)
    write_reports(folder)
    assert (folder / "reports" / "results.csv").read_text().count(",universal,") == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "cross_system", "systems": "di"}, "at least two systems"),
        ({"type": "cross_system", "systems": ["di", "vdp"], "model_types": ["expert"]}, "specialist, universal"),
        (
            {"type": "training_ablation", "systems": "di", "training_types": "sft"},
            "cannot be combined with `strategies`",
        ),
        ({"type": "training_ablation", "systems": "di", "strategies": ["sft"]}, "'sft_only'"),
        ({"type": "transfer_learning", "source_system": "di"}, "needs `target_systems`"),
        ({"type": "transfer_learning", "source_system": "di", "target_systems": "di"}, "is also a target"),
        ({"type": "transfer_learning", "source_system": "dj", "target_systems": "vdp"}, "Did you mean 'di'"),
        (
            {"systems": "di", "strategies": "sft_only"},
            "belongs to training_ablation, but",
        ),
        ({"systems": "di", "match": "total"}, "Remove it or set type: cross_system or single"),
    ],
)
def test_what_does_not_go_with_a_type_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        canonical_spec(make_spec(fields))
