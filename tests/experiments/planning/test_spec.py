"""Specifications: strict, complete in their complaints, and the same from a file as from the command line."""

import re
from pathlib import Path

import pytest

from setpoint.errors import InputError, InputErrors
from setpoint.experiments.planning.canonical import canonical_spec, spec_digest
from setpoint.experiments.planning.changes import spec_changes
from setpoint.experiments.planning.datasets import canonical_datasets
from setpoint.experiments.planning.single_run import single_fields
from setpoint.experiments.planning.spec import (
    SPECS,
    AblationSpec,
    SingleSpec,
    SweepSpec,
    TransferSpec,
    make_spec,
    planned_spec,
    read_spec_file,
)
from setpoint.experiments.planning.spec_fields import METRICS
from support.sweeps import make_plan


def test_single_values_need_no_brackets_and_short_names_are_resolved() -> None:
    spec = make_spec({"systems": "di", "training_types": "sft", "metrics": "control_cost"})
    assert spec.systems == ("double_integrator",)
    assert spec.training_types == ("sft",)
    assert spec.metrics == ("control_cost",)
    assert spec.replicates == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"systems": ["vpd"]}, "Did you mean 'vdp'"),
        ({"systems": ["di", "double_integrator"]}, "repeated"),
        ({"systems": []}, "systems"),
        ({}, "systems"),
        ({"systems": "di", "metrics": ["final_eror"]}, "Did you mean 'final_error'"),
        (
            {"systems": "di", "training_types": ["rlhf"]},
            "unknown training type 'rlhf'. Known: both, dagger, dagger_grpo, grpo",
        ),
        ({"systems": "di", "training_types": []}, "training_types"),
        ({"systems": "di", "replicates": 0}, "replicates must be at least 1 and at most 1000, got 0"),
        ({"systems": "di", "replicates": "many"}, "replicates must be an integer, got 'many'"),
        ({"systems": "di", "evaluation_cases": -3}, "got -3"),
        ({"systems": "di", "replicate": 3}, "Did you mean 'replicates'"),
        ({"systems": "di", "datasets": ["a", "b"]}, "2 for 1"),
        ({"systems": "di", "datasets": ["a"], "dataset_name": "b"}, "cannot be combined"),
        ({"systems": "di", "seed": True}, "seed: expected a number, got True"),
        (
            {"systems": "di", "fixed": {"lora_rank": [4, 8]}},
            "fixed.lora_rank must be a single number, flag or word",
        ),
        ({"systems": "di", "parameters": ["lora_rank"]}, "parameters must be a table of names and values"),
        ({"systems": "di", "parameters": {"lora_rank": {"a": 1}}}, "parameters.lora_rank must be a list of values"),
        (
            {"systems": "di", "ranges": {"lora_rank": {"min": 4, "max": 2}}},
            "ranges.lora_rank: min must be smaller than max (got 4.0, 2.0)",
        ),
        (
            {"systems": "di", "ranges": {"learning_rate": {"min": 0, "max": 1, "scale": "log"}}},
            "a log-scale range needs a positive lower bound (got 0.0)",
        ),
        (
            {"systems": "di", "ranges": {"lora_rank": {"min": True, "max": 8}}},
            "min: expected a number, got True",
        ),
        ({"systems": "di", "evaluation_cases": True}, "evaluation_cases: expected a number, got True"),
        ({"systems": "di", "replicates": "1_0"}, "replicates: expected a number, got '1_0'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make_spec(fields)


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("systems: di\nevaluation_cases: 1e2\nreplicates: 3.0\n")
    spec = make_spec(read_spec_file(path))
    assert (spec.evaluation_cases, spec.replicates) == (100, 3)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InputErrors) as caught:
        make_spec({"systems": ["nowhere"], "replicates": 0, "metrics": ["speed"], "colour": "red"})
    assert len(caught.value.errors) == 4


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        make_spec({"systems": "di", "metrics": "speed"})
    assert all(name in str(caught.value) for name in METRICS)


def test_in_yaml_1e_4_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "systems: di\nparameters: {learning_rate: [1e-4, 2.5E-4, 5e-04, 1e3]}\nseed: 3\ndataset_name: '1e-4'\n"
    )
    fields = read_spec_file(path)
    assert fields["parameters"]["learning_rate"] == [1e-4, 2.5e-4, 5e-4, 1e3]
    assert all(isinstance(value, float) for value in fields["parameters"]["learning_rate"])
    assert fields["seed"] == 3
    assert fields["dataset_name"] == "1e-4"


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "", "1: 2"])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"spec\.yaml"):
        read_spec_file(path)


def test_one_group_of_zipped_parameters_needs_no_brackets_of_its_own() -> None:
    fields = {"systems": "di", "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]}}
    spec = make_spec({**fields, "zipped": ["lora_rank", "learning_rate"]})
    assert spec == make_spec({**fields, "zipped": [["lora_rank", "learning_rate"]]})


def test_a_transfer_without_ends_says_only_that() -> None:
    with pytest.raises(InputErrors) as caught:
        make_spec({"type": "transfer_learning"})
    assert [str(error).partition(".")[0] for error in caught.value.errors] == [
        "transfer_learning needs `source_system`",
        "transfer_learning needs `target_systems`",
    ]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*: no such file or directory\. Check the path\."):
        read_spec_file(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", [None, "di", "double_integrator", "double_integrator_dataset"])
def test_all_names_of_a_systems_own_data_are_one_specification(name: str | None) -> None:
    spec = canonical_datasets(make_spec({"systems": "di", "dataset_name": name}))
    assert spec == make_spec({"systems": "di"})


def test_names_by_position_are_canonical_too() -> None:
    spec = canonical_datasets(make_spec({"systems": ["di", "vdp"], "datasets": ["di", "vdp"]}))
    assert spec == make_spec({"systems": ["di", "vdp"]})
    mine = make_spec({"systems": ["di", "vdp"], "datasets": ["di", "mine"]})
    assert canonical_datasets(mine).datasets == ("double_integrator", "mine")


def test_a_wrong_item_is_one_error() -> None:
    with pytest.raises(InputError) as caught:
        make_spec({"systems": "di", "training_types": ["rlhf"]})
    assert str(caught.value).count("\n") == 0


LEAST = {
    "hyperparameter_sweep": {"systems": "di"},
    "cross_system": {"systems": ["di", "vdp"]},
    "training_ablation": {"systems": "di"},
    "transfer_learning": {"source_system": "di", "target_systems": "vdp"},
    "single": {"systems": "di"},
}


@pytest.mark.parametrize("kind", SPECS)
def test_every_type_has_a_class_of_its_own_that_survives_a_plan(kind: str) -> None:
    spec = make_spec({"type": kind, **LEAST[kind]})
    assert type(spec) is SPECS[kind]
    assert spec.type == kind
    plan = make_plan(type=kind, **LEAST[kind])
    assert planned_spec(plan) == canonical_spec(spec)
    assert plan.spec.keys() == SPECS[kind].model_fields.keys()


@pytest.mark.parametrize("kind", SPECS)
def test_a_field_of_another_type_is_refused_with_what_to_do(kind: str) -> None:
    every = {name for spec in SPECS.values() for name in spec.model_fields}
    for name in every - SPECS[kind].model_fields.keys() - {"systems", "training_types"}:
        with pytest.raises(
            InputError, match=rf"^`{name}` belongs to .*, but the type is '{kind}'\. Remove it or set type: "
        ):
            make_spec({"type": kind, **LEAST[kind], name: "x"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"systems": "di", "strategies": "sft_only"},
            "`strategies` belongs to training_ablation, but the type is 'hyperparameter_sweep'. Remove it or set type: "
            "training_ablation.",
        ),
        (
            {"type": "training_ablation", "systems": "di", "match": "per_system"},
            "`match` belongs to cross_system or single, but the type is 'training_ablation'. Remove it or set type: "
            "cross_system or single.",
        ),
        (
            {"type": "single", "systems": "di", "replicates": 1},
            "`replicates` belongs to hyperparameter_sweep, cross_system, training_ablation or transfer_learning, but "
            "the type is 'single'. Remove it or set type: hyperparameter_sweep, cross_system, training_ablation or "
            "transfer_learning.",
        ),
    ],
)
def test_a_field_names_the_types_that_it_belongs_to(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make_spec(fields)
    assert str(caught.value) == message


def test_what_follows_from_other_fields_is_not_given_as_well() -> None:
    ablation = make_spec({"type": "training_ablation", "systems": "di", "strategies": ["sft_only", "sft_then_grpo"]})
    assert isinstance(ablation, AblationSpec)
    assert ablation.training_types == ("sft", "both")
    with pytest.raises(InputError, match="`training_types` cannot be combined with `strategies`"):
        make_spec({"type": "training_ablation", "systems": "di", "training_types": "sft"})
    transfer = make_spec({"type": "transfer_learning", **LEAST["transfer_learning"]})
    assert isinstance(transfer, TransferSpec)
    assert transfer.systems == ("double_integrator", "van_der_pol")
    with pytest.raises(InputError, match="`systems` cannot be combined with `source_system` and `target_systems`"):
        make_spec({"type": "transfer_learning", **LEAST["transfer_learning"], "systems": "di"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"type": "cross_systm", "systems": "di"},
            "'cross_systm'. Did you mean 'cross_system'?",
        ),
        ({"type": ["single"], "systems": "di"}, "unknown experiment type"),
        ({"type": None, "systems": "di"}, "unknown experiment type 'None'"),
        ({"systems": "di", "strateges": ["sft_only"]}, "Did you mean 'strategies'?"),
        (
            {"systems": "di", "ranges": {"lora_rank": {"min": 1, "max": 2, "step": 1}}},
            "step does not exist.",
        ),
        ({"type": "cross_system", "systems": "di", "model_types": []}, "model_types must not be empty"),
        ({"type": "single", "systems": "di", "training_types": ["sft", "grpo"]}, "one training type, got sft, grpo."),
        (
            {"type": "training_ablation", "systems": "di", "strategies": "sft_only", "equal_compute_control": True},
            "needs a strategy as its counterpart: sft_then_grpo or sft_then_dagger or dagger_then_grpo",
        ),
        ({"type": "transfer_learning", "source_system": "di", "target_systems": "vdp", "datasets": "a"}, "1 for 2"),
        ({"systems": "di", "retries": {"transient": -1}}, "retries.transient must be at least 0, got -1."),
        ({"systems": "di", "retries": {"transeint": 1}}, "Did you mean 'transient'?"),
        ({"systems": "di", "seed": "1:2:3"}, "seed must be an integer, got '1:2:3'."),
        ({"systems": "di", "retries": {"\x1b[31m": "x"}}, r"retries.'\x1b[31m' must be an integer, got 'x'."),
    ],
)
def test_what_a_type_does_not_allow_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        make_spec(fields)


def test_a_message_cuts_what_was_given() -> None:
    nested: object = "x" * 1000
    for _ in range(6):
        nested = [nested] * 20
    for fields in ({"seed": "9" * 5000}, {"metrics": "m" * 5000}, {"fixed": {"lora_rank": nested}}, {"x" * 5000: 1}):
        with pytest.raises(InputError) as caught:
            make_spec({"systems": "di", **fields})
        assert len(str(caught.value)) < 900


@pytest.mark.parametrize(
    ("fields", "digest"),
    [
        (
            {"systems": "di", "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]}, "replicates": 3},
            "c69f4d632a37",
        ),
        ({"type": "hyperparameter_sweep", "systems": ["di", "vdp"], "retries": {"crash": 0}}, "d756ae5144e4"),
        (
            {
                "systems": "di",
                "training_types": ["sft", "both"],
                "ranges": {"learning_rate": {"min": 1e-5, "max": 1e-3, "scale": "log"}},
                "design": "sobol",
                "configurations": 8,
            },
            "eb0b9285505c",
        ),
        (
            {
                "systems": "di",
                "parameters": {"lora_rank": [4, 8]},
                "only": [{"lora_rank": 8}],
                "confirms": "sweep",
                "seed": 5,
            },
            "b747c21d01f0",
        ),
        ({"type": "cross_system", "systems": ["di", "vdp"]}, "edfc3a7c2673"),
        (
            {
                "type": "cross_system",
                "systems": ["di", "vdp"],
                "model_types": "universal",
                "match": "total",
                "training_types": "grpo",
            },
            "2786e4889b1a",
        ),
        ({"type": "training_ablation", "systems": "vdp", "equal_compute_control": True}, "a0f32ec53e88"),
        (
            {"type": "training_ablation", "systems": "vdp", "strategies": ["sft_only", "grpo_from_scratch"]},
            "eb1af2387957",
        ),
        (
            {
                "type": "training_ablation",
                "systems": "vdp",
                "strategies": "sft_then_grpo",
                "parameters": {"lora_rank": [4, 8]},
            },
            "41f148e15762",
        ),
        ({"type": "transfer_learning", "source_system": "di", "target_systems": ["vdp", "pendulum"]}, "07491ea1662f"),
        (
            {
                "type": "transfer_learning",
                "source_system": "di",
                "target_systems": "vdp",
                "base_models": "all_available",
                "training_types": "sft",
            },
            "29e194076588",
        ),
        ({"type": "single", "systems": "di"}, "d9c1f26510cb"),
        (
            {
                "type": "single",
                "systems": ["di", "vdp"],
                "training_types": "grpo",
                "start_from": "sft/abc",
                "fixed": {"lora_rank": "4"},
                "match": "total",
                "evaluation_cases": 20,
                "dataset_name": "mixed",
                "expert": "detuned",
            },
            "9742edd48435",
        ),
    ],
)
def test_an_experiment_keeps_the_digest_that_names_it(fields: dict[str, object], digest: str) -> None:
    assert spec_digest(canonical_datasets(canonical_spec(make_spec(fields)))) == digest


def test_a_default_that_is_written_out_names_the_same_experiment() -> None:
    short = make_spec({"type": "cross_system", "systems": ["di", "vdp"]})
    written = make_spec(
        {"type": "cross_system", "systems": ["di", "vdp"], **short.model_dump(exclude={"type", "systems"})}
    )
    assert spec_digest(written) == spec_digest(short)


def test_the_type_of_a_specification_is_a_sweep_where_none_is_given() -> None:
    assert isinstance(make_spec({"systems": "di"}), SweepSpec)
    assert isinstance(make_spec(single_fields(systems=["di"], training_type="sft")), SingleSpec)


def test_changes_name_what_differs() -> None:
    sweep = make_spec({"systems": "di", "evaluation_cases": 50, "parameters": {"lora_rank": [4, 8]}})
    other = make_spec({"systems": "di", "parameters": {"lora_rank": [4], "batch_size": [8]}, "retries": {"crash": 0}})
    assert spec_changes(sweep, other) == [
        "evaluation_cases was 50, now default (300)",
        "lora_rank was 4,8, now 4",
        "batch_size was not given, now 8",
    ]
    ablation = make_spec({"type": "training_ablation", "systems": "di"})
    assert spec_changes(make_spec({"systems": "di"}), ablation) == [
        "type was hyperparameter_sweep, now training_ablation"
    ]
