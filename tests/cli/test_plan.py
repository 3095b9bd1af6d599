"""`setpoint experiment plan` and `--dry-run`: designs, specification files, and commands that repeat one run."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.cli.main import main
from support import ROOT, TESTS
from support.command_line import setpoint
from support.sweeps import BASE

SCRIPTS = ROOT / "scripts"
SWEEP = ["--systems", "double_integrator", "--dataset-name", "small", "--parameters", "lora_rank:4,8"]


def test_reading_commands_change_nothing(root: Path) -> None:
    before = sorted(root.iterdir())
    plan = setpoint(root, "experiment", "plan", *SWEEP, "--json")
    dry = setpoint(root, "experiment", "run", *SWEEP, "--dry-run")
    for done in (
        plan,
        dry,
        setpoint(root, "train", "--system", "di", "--dataset-name", "small", "--dry-run"),
        setpoint(root, "experiment", "list"),
        setpoint(root, "models", "list", "--format", "json"),
        setpoint(root, "train", "--list-datasets"),
    ):
        assert done.returncode == 0, done.stderr
    assert json.loads(plan.stdout)["stage_ids_known"]
    assert "2 configurations x 1 replicate = 2" in dry.stdout
    assert sorted(root.iterdir()) == before


def test_the_printed_lines_make_the_same_stages(root: Path) -> None:
    """As they are printed, with the real scripts and the built-in base; only --dry-run is added."""
    sweep = [*SWEEP, "--learning-rates", "1e-4", "--workspace", str(root)]

    def answer(*words: str) -> str:
        line = [sys.executable, *words]
        return subprocess.run(line, cwd=SCRIPTS.parent, capture_output=True, text=True, check=True).stdout

    plan = ["-m", "setpoint", "experiment", "plan", *sweep]
    commands, planned = answer(*plan, "--commands").splitlines(), json.loads(answer(*plan, "--json"))
    assert len(commands) == len(planned["runs"]) == 2
    for text, run in zip(commands, planned["runs"], strict=True):
        program, script, *options = shlex.split(text)
        assert (program, script) == ("python", "scripts/train_single_system.py")
        alone = json.loads(answer(script, *options, "--dry-run", "--json"))
        assert alone["runs"][0]["stages"] == run["stages"]


def test_designs_are_given_on_the_command_line(root: Path) -> None:
    line = ["experiment", "plan", "--systems", "di", "--dataset-name", "small", "--parameters"]
    drawn = [*line, "learning_rate:1e-5..1e-3:log", "lora_rank:4,8", "--design", "sobol", "--configurations", "4"]
    planned = json.loads(setpoint(root, *drawn, "--json").stdout)
    assert len(planned["runs"]) == 4
    assert planned["spec"]["ranges"] == {"learning_rate": {"min": 1e-5, "max": 1e-3, "scale": "log", "whole": False}}
    zipped = [*line, "lora_rank:4,8", "learning_rate:2e-4,1e-4", "--zip", "lora_rank,learning_rate"]
    assert "Design: lora_rank and learning_rate vary together" in setpoint(root, *zipped).stdout
    fraction = ["lora_rank:4,8", "learning_rate:2e-4,1e-4", "grpo.beta:0,0.1", "--design", "fractional"]
    text = setpoint(root, *line, *fraction).stdout
    assert "Runs: 4 configurations" in text
    assert "resolution III" in text


ALL_TYPES = [
    ["--systems", "di", "--training-types", "sft,both", "--parameters", "grpo.temperature:0.7,1.0", "--set", "steps=7"],
    ["--experiment-type", "cross_system", "--systems", "di,vdp", "--training-type", "grpo", "--match", "total"],
    ["--experiment-type", "cross_system", "--systems", "di,vdp", "--set", "sft.steps=9"],
    ["--experiment-type", "training_ablation", "--system", "di", "--replicates", "2"],
]


@pytest.mark.parametrize("line", ALL_TYPES, ids=lambda line: line[1])
def test_every_run_of_every_type_can_be_given_alone(
    line: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda _name: BASE)

    def printed(*words: str) -> str:
        assert main([*words]) == 0
        return capsys.readouterr().out

    plan = ["experiment", "plan", *line, "--dataset-name", "mixed", "--workspace", str(root)]
    commands = printed(*plan, "--commands").splitlines()
    planned = json.loads(printed(*plan, "--json"))
    assert len(commands) == len(planned["runs"]) >= 3
    for text, run in zip(commands, planned["runs"], strict=True):
        alone = json.loads(printed("train", *shlex.split(text)[2:], "--dry-run", "--json"))
        assert alone["runs"][0]["stages"] == run["stages"]


@pytest.mark.parametrize("name", ["sft.steps", "sft_steps"])
def test_set_replaces_one_value_of_a_file_and_keeps_the_others(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["experiment", "plan", "--demo", "--set", f"{name}=51", "--commands", "--workspace", str(tmp_path)]) == 0
    )
    assert all("grpo.steps=40 sft.steps=51" in line for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        (["--lora-ranks", "4"], {"lora_rank": [4], "learning_rate": [1e-4, 2e-4]}),
        (["--parameters", "batch_size:8,16"], {"lora_rank": [8, 16], "learning_rate": [1e-4, 2e-4]}),
        (["--set", "lora_rank=4"], {"learning_rate": [1e-4, 2e-4]}),
    ],
)
def test_the_command_line_replaces_those_parameters_of_a_file_that_it_names(
    more: list[str],
    parameters: dict[str, list[float]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "systems: di\nparameters: {lora_rank: [8, 16], learning_rate: [1e-4, 2e-4]}\nfixed: {batch_size: 32}\n"
    )
    line = ["experiment", "plan", "--spec", str(file), "--json", "--workspace", str(tmp_path), *more]
    assert main(line) == 0
    spec = json.loads(capsys.readouterr().out)["spec"]
    swept = "--parameters" in more
    assert spec["parameters"] == parameters | ({"batch_size": [8, 16]} if swept else {})
    assert spec["fixed"].get("batch_size") == (None if swept else 32)
    assert spec["fixed"].get("lora_rank") == (4 if "--set" in more else None)


def test_the_demonstration_is_a_specification() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "support.cheap_setpoint",
            "experiment",
            "plan",
            "--demo",
            "--workspace",
            "/nonexistent",
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not generated yet" in done.stdout
