"""Specifications: strict, complete in their complaints, and the same from a file as from the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.errors import InputError, InputErrors
from setpoint.execution.slurm.profile import read_profile
from setpoint.experiments.planning.datasets import canonical_datasets
from setpoint.experiments.planning.spec import METRICS, make_spec, read_spec_file


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
        ({"systems": "di", "training_types": ["rlhf"]}, "unknown training type 'rlhf'. Known: both, grpo, sft."),
        ({"systems": "di", "training_types": []}, "training_types"),
        ({"systems": "di", "replicates": 0}, "greater than or equal to 1, but is 0"),
        ({"systems": "di", "replicates": "many"}, "but is 'many'"),
        ({"systems": "di", "evaluation_cases": -3}, "but is -3"),
        ({"systems": "di", "replicate": 3}, "Did you mean 'replicates'"),
        ({"systems": "di", "datasets": ["a", "b"]}, "2 for 1"),
        ({"systems": "di", "datasets": ["a"], "dataset_name": "b"}, "exclude each other"),
        ({"systems": "di", "seed": True}, "seed: a number is asked for, but is True"),
        ({"systems": "di", "fixed": {"lora_rank": [4, 8]}}, "fixed.lora_rank must be one number, flag or word"),
        ({"systems": "di", "parameters": ["lora_rank"]}, "parameters must be a table of names and values"),
        ({"systems": "di", "parameters": {"lora_rank": {"a": 1}}}, "must be one value or a list of values"),
        (
            {"systems": "di", "ranges": {"lora_rank": {"min": 4, "max": 2}}},
            "ranges.lora_rank: a range goes up, but this one goes from 4.0 to 2.0. Swap its ends.",
        ),
        (
            {"systems": "di", "ranges": {"learning_rate": {"min": 0, "max": 1, "scale": "log"}}},
            "above 0, but this one starts at 0.0. Raise its lower end.",
        ),
        (
            {"systems": "di", "ranges": {"lora_rank": {"min": True, "max": 8}}},
            "min: a number is asked for, but is True",
        ),
        ({"systems": "di", "evaluation_cases": True}, "evaluation_cases: a number is asked for, but is True"),
        ({"systems": "di", "replicates": "1_0"}, "replicates: a number is asked for, but is '1_0'"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        make_spec(fields)


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("systems: di\nevaluation_cases: 1e2\nreplicates: 3.0\n")
    spec = make_spec(read_spec_file(path))
    assert (spec.evaluation_cases, spec.replicates) == (100, 3)


@pytest.mark.parametrize("read", [read_spec_file, read_profile])
def test_a_file_nested_too_deeply_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("a: " + "[" * 3000)
    with pytest.raises(InputError, match=r"deep\.yaml' is nested too deeply"):
        read(path)


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


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("systems: di\nseed: 1\nsystems: vdp\n", "systems", 3),
        ("systems: di\nparameters:\n  lora_rank: [4]\n  lora_rank: [8]\n", "lora_rank", 4),
    ],
)
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str, key: str, line: int) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"spec\.yaml', '{key}' is there twice, again in line {line}"):
        read_spec_file(path)


def test_one_group_of_zipped_parameters_needs_no_brackets_of_its_own() -> None:
    fields = {"systems": "di", "parameters": {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]}}
    spec = make_spec({**fields, "zipped": ["lora_rank", "learning_rate"]})
    assert spec == make_spec({**fields, "zipped": [["lora_rank", "learning_rate"]]})


def test_a_transfer_without_ends_says_only_that() -> None:
    with pytest.raises(InputErrors) as caught:
        make_spec({"type": "transfer_learning"})
    assert [str(error).partition(";")[0] for error in caught.value.errors] == [
        "a transfer needs --source-system",
        "a transfer needs --target-systems",
    ]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
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
