"""A plan is built once for a command, and handed on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from setpoint.artifacts import Workspace, write_text
from setpoint.cli.main import main
from setpoint.demonstrations import Recipe, create
from setpoint.experiments import launch
from setpoint.experiments.planning import stages
from support.sweeps import BASE, TARGETS

SWEEP = ("--systems", "di", "--dataset-name", "small", "--lora-ranks", "4,8", "--experiment-id", "e")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a dataset, and stages that are cheap."""
    create(Workspace(tmp_path), "small", Recipe(systems=("double_integrator",), total_samples=8), workers=1)
    monkeypatch.setenv("SETPOINT_WORKSPACE", str(tmp_path))
    monkeypatch.setattr("setpoint.experiments.request.resolve_base", lambda _name: BASE)
    monkeypatch.setattr(launch, "PRELOAD", ("setpoint.experiments.launch",))
    for kind, stage in stages.STAGES.items():
        monkeypatch.setitem(stages.STAGES, kind, dataclasses.replace(stage, target=TARGETS[kind]))

    def write_reports(experiment: Path, **_options: Any) -> Path:
        write_text(experiment / "reports" / "report.txt", "report\n")
        return experiment / "reports" / "report.txt"

    monkeypatch.setattr("setpoint.api.running.write_reports", write_reports)
    return tmp_path


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The experiments whose plans were built, in order."""
    calls: list[str] = []
    build: Callable[..., Any] = launch.build_plan

    def counted(spec: Any, experiment_id: str, inputs: Any) -> Any:
        calls.append(experiment_id)
        return build(spec, experiment_id, inputs)

    monkeypatch.setattr(launch, "build_plan", counted)
    return calls


@pytest.mark.parametrize("words", [("plan",), ("run", "--dry-run"), ("run", "--quiet"), ("plan", "--calibrate")])
def test_a_command_builds_one_plan(root: Path, built: list[str], words: tuple[str, ...]) -> None:
    assert main(["experiment", words[0], *SWEEP, *words[1:]]) == 0
    assert built == ["e"]


def test_a_resumed_experiment_is_planned_once_to_compare(root: Path, built: list[str]) -> None:
    assert main(["experiment", "run", *SWEEP, "--quiet"]) == 0
    built.clear()
    assert main(["experiment", "resume", "e", "--quiet"]) == 0
    assert built == ["e"]
    built.clear()
    assert main(["experiment", "plan", *SWEEP]) == 0
    assert built == [], "the frozen plan is shown"
