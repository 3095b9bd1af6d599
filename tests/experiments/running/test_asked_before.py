"""A plan names the experiments of the workspace that already have some of its runs."""

from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.experiments.running.asked_before import Answered, asked_before
from support.sweeps import make_plan, run_plan, save_plan


def test_experiments_that_share_runs_are_named_with_what_is_finished(tmp_path: Path) -> None:
    run_plan(tmp_path)
    other = make_plan(systems="di", parameters={"lora_rank": [8, 16, 32]}).model_copy(update={"experiment": "other"})
    assert asked_before(Workspace(tmp_path), other) == [Answered("sweep", 1, 1, 3)]
    save_plan(tmp_path, other)
    unrelated = make_plan(systems="di", parameters={"lora_rank": [64]}).model_copy(update={"experiment": "third"})
    assert asked_before(Workspace(tmp_path), unrelated) == []
    half = make_plan(systems="di", parameters={"lora_rank": [16, 4]}).model_copy(update={"experiment": "fourth"})
    assert asked_before(Workspace(tmp_path), half) == [Answered("other", 1, 0, 2), Answered("sweep", 1, 1, 2)]


def test_a_damaged_plan_of_another_experiment_is_passed_over(tmp_path: Path) -> None:
    run_plan(tmp_path)
    (tmp_path / "experiments" / "sweep" / "plan.json").write_text("{")
    assert asked_before(Workspace(tmp_path), make_plan().model_copy(update={"experiment": "x"})) == []
