"""Attempts in real child processes: results, failure classes, logs, and that nothing outlives its coordinator."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from setpoint.artifacts import Workspace, read_json
from setpoint.execution import LocalExecutor, Outcome, Task
from setpoint.records.failure import read_failure
from support import TESTS


def task(root: Path, target: str, stage_id: str = "a1b2", **config: Any) -> Task:
    return Task(root, "sft", stage_id, f"support.stage_targets:{target}", config, seed=3, needs={})


def run(root: Path, target: str, **config: Any) -> Outcome:
    outcome = LocalExecutor().submit(task(root, target, **config)).wait(60)
    assert outcome is not None
    return outcome


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_finished_stage_has_its_output_and_a_manifest(tmp_path: Path) -> None:
    assert run(tmp_path, "write_value", value=4) == Outcome("finished")
    stage = Workspace(tmp_path).stage("sft", "a1b2")
    manifest = stage.read_manifest()
    assert manifest is not None
    assert list(manifest.files) == ["value.txt"]
    assert manifest.summary == {"inputs": 0}
    assert manifest.measured.gpu_hours is None
    assert manifest.measured.peak_rss_gb
    assert read_json(stage.config)["config"] == {"value": 4}
    assert read_json(stage.attempts()[0].resources)["wall_s"] >= 0
    assert not stage.checkpoints.exists()
    assert not stage.attempts()[0].output.exists()


def test_output_of_python_and_of_subprocesses_goes_to_the_logs(tmp_path: Path) -> None:
    run(tmp_path, "print_everywhere")
    attempt = Workspace(tmp_path).stage("sft", "a1b2").attempts()[0]
    first, *own, last = attempt.stdout.read_text().splitlines()
    assert sorted(own) == ["from a subprocess", "from python"]
    assert first.partition(" ")[2].startswith("sft a1b2, seed 3: attempt 1 started, pid ")
    assert last.partition(" ")[2] == "sft a1b2, seed 3: finished"
    assert sorted(attempt.stderr.read_text().splitlines()) == ["its stderr", "to stderr"]


def test_the_log_of_a_training_says_how_it_goes(tmp_path: Path) -> None:
    run(tmp_path, "log_steps", sft={"steps": 25})
    attempt = Workspace(tmp_path).stage("sft", "a1b2").attempts()[0]
    lines = attempt.stdout.read_text().splitlines()
    assert "sft a1b2, seed 3, 25 steps: attempt 1 started" in lines[0]
    assert lines[1:3] == ["step 10: loss 0.1", "step 20: loss 0.05"]
    assert "sft a1b2, seed 3, 25 steps: failed (crash): " in lines[3]
    assert len(attempt.metrics.read_text().splitlines()) == 25


@pytest.mark.parametrize(
    ("target", "failure_class"),
    [
        ("crash", "crash"),
        ("run_out_of_memory", "host_oom"),
        ("fill_the_disk", "storage"),
        ("diverge", "diverged"),
        ("refuse", "config"),
        ("exit_quietly", "crash"),
        ("kill_itself", "lost"),
        ("no_such_function", "crash"),
    ],
)
def test_failures_are_sorted_into_classes(tmp_path: Path, target: str, failure_class: str) -> None:
    outcome = run(tmp_path, target)
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.failure_class == failure_class
    assert outcome.failure.suggestion
    stage = Workspace(tmp_path).stage("sft", "a1b2")
    assert read_failure(stage.attempts()[0].failure) == outcome.failure
    assert not stage.finished()


def test_a_classified_failure_keeps_its_evidence(tmp_path: Path) -> None:
    failure = run(tmp_path, "diverge").failure
    assert failure is not None
    assert failure.evidence == {"step": 7}
    assert failure.message == "the loss is nan"
    assert failure.suggestion == "lower learning_rate"
    assert failure.traceback is not None and "Traceback" in failure.traceback


def test_a_stage_that_somebody_works_on_is_busy(tmp_path: Path) -> None:
    executor = LocalExecutor()
    first = executor.submit(task(tmp_path, "sleep_with_a_child"))
    wait_until(lambda: list(tmp_path.rglob("pids.txt")) != [])
    assert executor.submit(task(tmp_path, "write_value")).wait(60) == Outcome("busy")
    first.cancel()
    assert executor.submit(task(tmp_path, "write_value")).wait(60) == Outcome("finished")


def test_cancel_ends_the_worker_and_what_it_started(tmp_path: Path) -> None:
    job = LocalExecutor().submit(task(tmp_path, "sleep_with_a_child"))
    wait_until(lambda: any(path.read_text() for path in tmp_path.rglob("pids.txt")))
    pids = [int(pid) for pid in next(tmp_path.rglob("pids.txt")).read_text().split()]
    job.cancel()
    wait_until(lambda: not any(map(running, pids)))
    assert list(tmp_path.rglob("failure.json")) == []


def test_what_a_finished_stage_left_running_is_ended(tmp_path: Path) -> None:
    run(tmp_path, "leave_a_child_behind")
    manifest = Workspace(tmp_path).stage("sft", "a1b2").read_manifest()
    assert manifest is not None
    wait_until(lambda: not running(int(manifest.number("pid"))))


def test_workers_and_their_children_die_with_a_killed_coordinator(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from setpoint.execution import LocalExecutor, Task\n"
        "task = Task(Path(sys.argv[1]), 'sft', 'a1b2', 'support.stage_targets:sleep_with_a_child', {}, 0, {})\n"
        "LocalExecutor().submit(task).wait()\n"
    )
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    coordinator = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
    wait_until(lambda: any(path.read_text() for path in tmp_path.rglob("pids.txt")))
    pids = [int(pid) for pid in next(tmp_path.rglob("pids.txt")).read_text().split()]
    family = [process.pid for process in psutil.Process(coordinator.pid).children(recursive=True)]
    assert all(map(running, pids))
    coordinator.send_signal(signal.SIGKILL)
    coordinator.wait()
    wait_until(lambda: not any(map(running, [*pids, *family])))


def test_importing_starts_nothing() -> None:
    code = "import setpoint.execution, psutil; print(len(psutil.Process().children()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0\n"
