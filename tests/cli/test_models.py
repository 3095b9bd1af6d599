"""`setpoint models`."""

import json
from pathlib import Path

from support.command_line import setpoint


def test_models_are_listed_with_their_parameters(root: Path) -> None:
    words = ["train", "--system", "di", "--dataset-name", "small", "--lora-rank", "4", "--run-id", "my_run"]
    assert setpoint(root, *words).returncode == 0
    listed = json.loads(setpoint(root, "models", "list", "--detailed", "--format", "json").stdout)
    assert [(model["run_id"], model["stage"]) for model in listed] == [("my_run", "sft"), ("my_run", "grpo")]
    assert listed[0]["parameters"]["lora"]["rank"] == 4
    assert listed[0]["usable"]
    assert "my_run" in setpoint(root, "models", "list").stdout
