"""Whole experiments with cheap stages in real processes: order, failures, resuming, and no coordinator lost work."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from setpoint.artifacts import StageConfig, Workspace, read_json, write_json
from setpoint.errors import InputError
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.status import read_status
from setpoint.records.journal import Event, StageWaiting, read_events
from setpoint.records.plan import Plan, read_plan
from support import TESTS
from support.sweeps import executions, make_plan, run_plan, save_plan


def start_coordinator(root: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "support.sweeps", str(root)], env=environment, stderr=subprocess.PIPE
    )


def finished_stages(root: Path, plan: Plan) -> set[str]:
    workspace = Workspace(root)
    return {name for name, stage in plan.stages.items() if workspace.stage(stage.kind, name).finished()}


def test_every_stage_runs_once_after_what_it_needs(tmp_path: Path) -> None:
    plan = make_plan()
    status = run_plan(tmp_path, plan)
    assert status.counts == {"ok": 2}
    order = executions(tmp_path)
    assert sorted(order) == sorted(plan.stages)
    for name, stage in plan.stages.items():
        assert all(order.index(needed) < order.index(name) for needed in stage.needs.values())


def test_several_workers_give_the_same_result(tmp_path: Path) -> None:
    plan = make_plan()
    assert run_plan(tmp_path, plan, workers=3).counts == {"ok": 2}
    assert sorted(executions(tmp_path)) == sorted(plan.stages)


def test_state_and_journal_tell_what_happened(tmp_path: Path) -> None:
    status = run_plan(tmp_path)
    experiment = tmp_path / "experiments" / "sweep"
    snapshot = read_json(experiment / "state.json")
    assert snapshot["state"] == "finished"
    assert snapshot["counts"] == {"ok": 2}
    assert set(snapshot["runs"]) == set(status.runs)
    events = [event.event for event in read_events(experiment)]
    assert events[0] == "started"
    assert events[-1] == "finished"
    assert events.count("run_finished") == 2
    assert read_status(Workspace(tmp_path), "sweep") == status
    assert read_plan(experiment) is not None


def test_a_second_run_reuses_everything(tmp_path: Path) -> None:
    run_plan(tmp_path)
    before = executions(tmp_path)
    assert run_plan(tmp_path).counts == {"ok": 2}
    assert executions(tmp_path) == before


def test_a_failed_stage_stops_only_what_needs_it(tmp_path: Path) -> None:
    (tmp_path / "fail-grpo").write_text('"rank": 4')
    status = run_plan(tmp_path)
    assert status.counts == {"ok": 1, "failed": 1}
    failed = [name for name, run in status.runs.items() if run.state == "failed"]
    assert all(name.startswith("lora_rank=4") for name in failed)
    assert {status.runs[name].failure_class for name in failed} == {"diverged"}
    assert status.runs[failed[0]].reason == "the loss is nan"


def test_runs_that_need_a_failed_shared_stage_are_blocked(tmp_path: Path) -> None:
    (tmp_path / "fail-reference").write_text("")
    plan = make_plan()
    status = run_plan(tmp_path, plan)
    assert status.counts == {"blocked": 2}
    assert "reference" in str(next(iter(status.runs.values())).reason)
    assert len([name for name in executions(tmp_path) if plan.stages[name].kind in {"sft", "grpo"}]) == 4


def test_failures_that_are_results_are_not_tried_again_without_retry(tmp_path: Path) -> None:
    (tmp_path / "fail-sft").write_text('"rank": 4')
    run_plan(tmp_path)
    (tmp_path / "fail-sft").unlink()
    before = executions(tmp_path)
    assert run_plan(tmp_path).counts == {"ok": 1, "failed": 1}
    assert executions(tmp_path) == before
    assert run_plan(tmp_path, retry=lambda failure_class: failure_class == "crash").counts == {"ok": 1, "failed": 1}
    assert run_plan(tmp_path, retry=lambda failure_class: failure_class == "diverged").counts == {"ok": 2}


def test_a_damaged_artifact_is_computed_again(tmp_path: Path) -> None:
    plan = make_plan()
    run_plan(tmp_path, plan)
    name, other, *_ = plan.stages
    workspace = Workspace(tmp_path)
    truncated = workspace.stage(plan.stages[name].kind, name).path / "value.txt"
    content = truncated.read_text()
    truncated.write_text("")
    flipped = workspace.stage(plan.stages[other].kind, other).path / "value.txt"
    flipped.write_text(flipped.read_text().replace("0", "1"))
    before = executions(tmp_path)
    assert run_plan(tmp_path, plan).counts == {"ok": 2}
    assert executions(tmp_path)[len(before) :] == [name, other]
    assert truncated.read_text() == content


def test_killed_at_any_moment_nothing_finished_runs_again_and_nothing_is_lost(tmp_path: Path) -> None:
    plan = make_plan(systems="di", parameters={"lora_rank": [4, 8]}, replicates=2)
    save_plan(tmp_path, plan)
    moments = random.Random(5)
    kills = 0
    while True:
        done_before, count_before = finished_stages(tmp_path, plan), len(executions(tmp_path))
        coordinator = start_coordinator(tmp_path)
        wanted = count_before + moments.randint(3, 6)
        while len(executions(tmp_path)) < wanted and coordinator.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.random() * 0.1)
        coordinator.send_signal(signal.SIGKILL)
        coordinator.communicate()
        assert not done_before & set(executions(tmp_path)[count_before:])
        if coordinator.returncode == 0:
            break
        kills += 1
    assert kills >= 2
    assert finished_stages(tmp_path, plan) == set(plan.stages)
    assert read_status(Workspace(tmp_path), "sweep").counts == {"ok": 4}
    assert list((tmp_path / "stages").rglob("failure.json")) == []


def test_an_interrupt_leaves_everything_resumable(tmp_path: Path) -> None:
    coordinator = start_coordinator(tmp_path)
    while not executions(tmp_path):
        time.sleep(0.01)
    coordinator.send_signal(signal.SIGTERM)
    _, stderr = coordinator.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr
    experiment = tmp_path / "experiments" / "sweep"
    assert read_json(experiment / "state.json")["state"] == "interrupted"
    assert read_status(Workspace(tmp_path), "sweep").state == "interrupted"
    assert "interrupted" in [event.event for event in read_events(experiment)]
    assert run_plan(tmp_path).counts == {"ok": 2}


def test_two_coordinators_cannot_share_an_experiment(tmp_path: Path) -> None:
    with lease(tmp_path / "experiments" / "sweep"), pytest.raises(InputError, match="is being run by process"):
        run_plan(tmp_path)
    assert run_plan(tmp_path).counts == {"ok": 2}


def test_two_experiments_share_stages_without_computing_any_twice(tmp_path: Path) -> None:
    plan = make_plan()
    save_plan(tmp_path, plan)
    other = plan.model_copy(update={"experiment": "other"})
    coordinator = start_coordinator(tmp_path)
    assert run_plan(tmp_path, other).counts == {"ok": 2}
    assert coordinator.wait(30) == 0
    assert sorted(executions(tmp_path)) == sorted(other.stages)


def test_a_stage_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    plan = make_plan()
    name, stage = next(iter(plan.stages.items()))
    attempt = Workspace(tmp_path).stage(stage.kind, name).claim_attempt(StageConfig(stage.kind, {}, (), 0))
    assert attempt is not None
    waiting: list[StageWaiting] = []

    def hear(event: Event) -> None:
        if isinstance(event, StageWaiting):
            waiting.append(event)
            write_json(attempt.resources, {})  # the other one gives up

    assert run_plan(tmp_path, plan, listeners=(hear,)).counts == {"ok": 2}
    assert [event.stage for event in waiting] == [name]
    assert str(attempt.path) in waiting[0].reason


def test_models_are_linked_by_readable_names(tmp_path: Path) -> None:
    plan = make_plan()
    run_plan(tmp_path, plan)
    folder = tmp_path / "models" / "single_system" / "double_integrator"
    run = plan.runs[-1]
    link = folder / "grpo" / run.name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (tmp_path / "stages" / "grpo" / run.stages["grpo"] / "adapter").resolve()
    assert (folder / "sft" / "latest").resolve() == (
        tmp_path / "stages" / "sft" / run.stages["sft"] / "adapter"
    ).resolve()
