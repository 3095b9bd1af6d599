"""`setpoint parameters`."""

import json

import pytest

from setpoint.cli.main import main
from setpoint.experiments.planning.catalogue import parameter_catalogue
from setpoint.experiments.planning.parameters import MODELS, find, resolve
from setpoint.policies.presets import TINY


def test_every_parameter_is_listed_once_by_its_canonical_name() -> None:
    names = [entry.name for entry in parameter_catalogue(TINY)]
    assert len(names) == len(set(names)) == sum(len(model.model_fields) for model in MODELS.values())
    assert [find(name).name for name in names] == names


def test_the_defaults_are_those_of_a_run() -> None:
    resolved = resolve(TINY, "dagger_grpo", {}, ["van_der_pol"])
    for entry in parameter_catalogue(TINY):
        ((group, field),) = find(entry.name).places
        if field != "learning_rate_ratio":
            assert resolved[group][field] == entry.default


def test_one_parameter_or_one_group_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parameters", "learning_rate", "--json"]) == 0
    found = {each["name"]: each["default"] for each in json.loads(capsys.readouterr().out)}
    assert found == {"sft.learning_rate": 2e-4, "dagger.learning_rate": 2e-4, "grpo.learning_rate": 1e-4}
    assert main(["parameters", "grpo"]) == 0
    printed = capsys.readouterr().out
    assert "  grpo.loss  dr_grpo, grpo  (default: dr_grpo)" in printed and "sft.steps" not in printed
    assert all(len(line) < 80 for line in printed.splitlines()[2:])


def test_an_unknown_name_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parameters", "lora_rnak"]) == 3
    assert "Did you mean 'lora_rank'" in capsys.readouterr().err
