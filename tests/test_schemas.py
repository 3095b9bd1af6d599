"""The JSON schema accepts what the reader accepts, and `setpoint init` writes what both accept."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from dev import check_yaml

from setpoint.api.schemas import profile_schema, specification_schema
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import canonical_spec, checked_spec, spec_digest
from setpoint.experiments.planning.parameters import MODELS
from setpoint.experiments.planning.spec import SPECS, make_spec, read_spec_file
from setpoint.experiments.planning.starter import SCHEMA_FILE, TYPES

VALIDATOR = jsonschema.Draft7Validator(specification_schema())


def accepted(**fields: Any) -> bool:
    return VALIDATOR.is_valid(fields)


def test_both_schemas_are_valid_schemas() -> None:
    for schema in (specification_schema(), profile_schema()):
        jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("path", check_yaml.files(), ids=lambda path: path.name)
def test_every_yaml_file_of_the_repository_fits_its_schema(path: Path) -> None:
    assert list(check_yaml.findings(path)) == []


def test_a_wrong_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(specification_schema()))
    file = tmp_path / "wrong.yaml"
    file.write_text("systems: di\n")
    assert "the first line must be" in next(check_yaml.findings(file))
    file.write_text("# yaml-language-server: $schema=schema.json\nsystems: di\nreplicates: many\n")
    assert list(check_yaml.findings(file)) == ["$.replicates: 'many' is not of type 'integer'"]


@pytest.mark.parametrize(
    "fields",
    [
        {"systems": "di"},
        {"systems": ["double_integrator", "a_plug_in"], "training_types": "sft"},
        {"systems": "di", "parameters": {"lora_rank": 4, "sft.learning_rate": [1e-4, 2e-4], "answer.decimals": "auto"}},
        {"systems": "di", "fixed": {"learning_rate": 1e-3, "generation.constrained": True}},
        {"systems": "di", "zipped": ["sft.batch_size", "sft.steps"]},
        {"systems": "di", "zipped": [["sft.batch_size", "sft.steps"]]},
        {"systems": "di", "conditions": {"grpo.temperature": {"training_type": "both", "lora_rank": [4]}}},
        {"systems": "di", "design": "sobol", "ranges": {"learning_rate": {"min": 1e-5, "max": 1, "scale": "log"}}},
        {"type": "transfer_learning", "source_system": "di", "target_systems": "vdp"},
        {"type": "training_ablation", "systems": "di", "strategies": "sft_only", "retries": {"crash": 0}},
    ],
)
def test_what_the_reader_takes_fits(fields: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(fields)) == []
    if "a_plug_in" not in str(fields):
        make_spec(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"systems": []},
        {"systems": "di", "replicate": 3},
        {"systems": "di", "replicates": 0},
        {"systems": "di", "parameters": {"lora_rnk": 4}},
        {"systems": "di", "parameters": {"lora_rank": 0}},
        {"systems": "di", "fixed": {"grpo.loss": "ppo"}},
        {"systems": "di", "metrics": ["error"]},
        {"systems": "di", "retries": {"diverged": 1}},
        {"systems": "di", "type": "sweep"},
        {"systems": "di", "type": "transfer_learning"},
        {"systems": "di", "strategies": ["sft_only"]},
        {"systems": "di", "evaluation_cases": 0},
        {"systems": "di", "conditions": {"grpo.temperature": {"no_parameter": 1}}},
    ],
)
def test_what_the_reader_refuses_does_not_fit(fields: dict[str, Any]) -> None:
    assert not accepted(**fields)
    with pytest.raises(InputError):
        checked_spec(fields)


def test_every_field_and_parameter_has_a_description() -> None:
    definitions = specification_schema()["definitions"]
    missing = [
        (name, field)
        for name in SPECS
        for field, schema in definitions[name]["properties"].items()
        if not schema.get("description")
    ]
    assert missing == []
    places = [f"{group}.{field}" for group, model in MODELS.items() for field in model.model_fields]
    assert [place for place in places if not definitions[place].get("description")] == []


@pytest.mark.parametrize("experiment_type", TYPES)
def test_a_new_specification_is_accepted_by_schema_and_reader(experiment_type: str, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    assert main(["init", str(file), "--experiment-type", experiment_type]) == 0
    fields = read_spec_file(file)
    assert accepted(**fields)
    digest = spec_digest(canonical_spec(make_spec(fields)))
    schema = json.loads((tmp_path / SCHEMA_FILE).read_text(encoding="utf-8"))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# yaml-language-server: $schema={SCHEMA_FILE}"
    for number, line in enumerate(lines):
        name = line.removeprefix("# ").partition(":")[0]
        if name not in SPECS[experiment_type].model_fields or not line.startswith("# "):
            continue
        changed = tmp_path / "changed.yaml"
        changed.write_text("\n".join([*lines[:number], line.removeprefix("# "), *lines[number + 1 :]]))
        written = read_spec_file(changed)
        assert name in written
        assert list(jsonschema.Draft7Validator(schema).iter_errors(written)) == []
        if not lines[number - 1].endswith("Example:"):  # a default changes nothing
            assert spec_digest(canonical_spec(make_spec(written))) == digest


def test_init_takes_systems_and_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.yaml"
    transfer = ["--experiment-type", "transfer_learning", "--systems", "vdp,pend,di"]
    assert main(["init", str(file), *transfer]) == 0
    assert read_spec_file(file)["target_systems"] == ["pendulum", "double_integrator"]
    written = file.read_bytes()
    assert main(["init", str(file)]) == 3
    assert main(["init", str(tmp_path / "missing" / "new.yaml")]) == 3
    assert main(["init", str(tmp_path / "other.yaml"), "--experiment-type", "single"]) == 3
    assert main(["init", str(tmp_path / "other.yaml"), "--systems", "d"]) == 3
    assert file.read_bytes() == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.yaml", SCHEMA_FILE]
    assert "exists already" in capsys.readouterr().err


def test_the_command_prints_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(specification_schema()))
    assert main(["schema", "profile"]) == 0
    assert "partition" in json.loads(capsys.readouterr().out)["properties"]
