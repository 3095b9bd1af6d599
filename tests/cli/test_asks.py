"""Commands that ask first, and names that are said: nobody is asked where nobody can answer."""

import json
from pathlib import Path

import pytest

from setpoint.cli.main import main
from support.command_line import setpoint

TRANSFER = [
    *("--experiment-type", "transfer_learning", "--source-system", "di", "--target-systems", "vdp"),
    *("--base-models", "all_available", "--evaluation-cases", "5"),
]


def test_a_comparison_of_arms_has_an_estimate_and_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["arms", "--systems", "di", "--workspace", str(tmp_path)]
    assert main([*words, "--dry-run"]) == 0
    head, *parts, total = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "part" and "wall clock" in head
    assert [line.split()[0] for line in parts] == ["optimal", "detuned", "equal-compute"]
    assert total.startswith("all") and "not known" in total
    assert list(tmp_path.iterdir()) == []
    assert main(words) == 3
    assert "an unknown time, because nothing comparable has run here. Start it with --yes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_all_available_lists_what_it_takes_and_asks(root: Path) -> None:
    train = ["train", "--system", "di", "--dataset-name", "small", "--lora-rank", "4", "--run-id", "mine"]
    assert setpoint(root, *train).returncode == 0
    refused = setpoint(root, "experiment", "run", *TRANSFER)
    assert refused.returncode == 3
    assert "--base-models all_available takes 2 adapters:\n  sft/" in refused.stderr
    assert "Accept them with --yes, or use --base-models source" in refused.stderr
    assert [path.name for path in (root / "experiments").iterdir()] == ["mine"]


def test_a_dataset_of_another_name_is_said(root: Path) -> None:
    done = setpoint(root, "train", "--system", "di", "--dataset-name", "di", "--dry-run")
    assert "dataset 'di' is 'double_integrator'" in done.stderr
    quiet = setpoint(root, "train", "--system", "di", "--dataset-name", "di", "--dry-run", "--quiet")
    assert "dataset" not in quiet.stderr


def test_lists_can_be_sorted(root: Path) -> None:
    for name, rank in (("b", "4"), ("a", "8")):
        words = ["train", "--system", "di", "--dataset-name", "small", "--lora-rank", rank, "--run-id", name]
        assert setpoint(root, *words).returncode == 0

    def names(*words: str) -> list[str]:
        return [entry["experiment"] for entry in json.loads(setpoint(root, *words, "--json").stdout)]

    assert names("experiment", "list") == ["b", "a"]
    assert names("experiment", "list", "--sort", "name") == ["a", "b"]
    models = json.loads(setpoint(root, "models", "list", "--sort", "name", "--json").stdout)
    assert [model["run_id"] for model in models] == ["a", "a", "b", "b"]
    assert "Did you mean 'score'?" in setpoint(root, "models", "list", "--sort", "scor").stderr
