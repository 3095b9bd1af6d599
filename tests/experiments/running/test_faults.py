"""Limits, retries by class and drains, with faults in cheap stages in real workers."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from setpoint.artifacts import StageConfig, Workspace, read_json, write_json
from setpoint.errors import InputError
from setpoint.execution import Limits, LocalExecutor, Outcome, Task, failures, machine
from setpoint.execution.cleanup import kill_group, left_behind
from setpoint.execution.failures import classify, describe_exit
from setpoint.execution.limits import Watch
from setpoint.execution.sampling import GpuCounters, Sampler
from setpoint.execution.worker import WRAPPER_VARIABLE
from setpoint.experiments import launch
from setpoint.experiments.planning.spec import planned_spec
from setpoint.experiments.request import Request
from setpoint.experiments.running import coordinator
from setpoint.experiments.running.status import read_status
from setpoint.records.failure import read_failure
from setpoint.records.journal import EventKind, StageFailed, WorkersReduced, read_events
from setpoint.records.plan import read_plan
from setpoint.records.state import ExperimentState
from setpoint.testing.faults import CLASS_OF_FAULT, FAULTS, FAULTS_VARIABLE, LEDGER_VARIABLE, WRAPPER, planned_fault
from support import TESTS
from support.sweeps import BASE, TARGETS, executions, make_plan, save_plan


def executor(faults: str = "", limits: Limits | None = None, **variables: str) -> LocalExecutor:
    environment = {WRAPPER_VARIABLE: WRAPPER, FAULTS_VARIABLE: faults, **variables}
    return LocalExecutor(limits=limits or Limits(), environment=environment)


def run(root: Path, faults: str, limits: Limits | None = None) -> Outcome:
    task = Task(root, "sft", "a1b2", "support.stage_targets:write_value", {}, seed=3, needs={})
    outcome = executor(faults, limits).submit(task).wait(60)
    assert outcome is not None
    return outcome


def run_sweep(root: Path, faults: str, **options: Any) -> ExperimentState:
    workspace = Workspace(root)
    plan = read_plan(workspace.experiment("sweep")) or make_plan(systems="di", training_types="sft")
    request = Request(workspace, plan.experiment, planned_spec(plan), BASE, None)
    return launch.run(
        launch.Preparation(request, plan, {}, ()), launch.Options(executor=executor(faults), targets=TARGETS, **options)
    )


@pytest.mark.parametrize("fault", ["crash", "host_oom", "gpu_oom", "connection", "io_error", "device", "sigterm"])
def test_a_fault_is_recognised(tmp_path: Path, fault: str) -> None:
    outcome = run(tmp_path, f"sft={fault}")
    assert outcome.failure is not None
    assert outcome.failure.failure_class == CLASS_OF_FAULT[fault]
    assert outcome.failure.suggestion


@pytest.mark.parametrize(
    ("fault", "limits", "failure_class", "evidence"),
    [
        ("stall", Limits(stall_s=1.5), "stalled", "stall_limit_s"),
        ("spin", Limits(stall_s=1.5), "stalled", "seconds_without_progress"),
        ("stall", Limits(time_s=1.5), "timeout", "time_limit_s"),
        ("grow", Limits(memory_gb=0.6), "host_oom", "rss_gb"),
    ],
)
def test_a_worker_that_exceeds_a_limit_is_ended(
    tmp_path: Path, fault: str, limits: Limits, failure_class: str, evidence: str
) -> None:
    outcome = run(tmp_path, f"sft={fault}", limits)
    assert outcome.failure is not None
    assert outcome.failure.failure_class == failure_class
    assert evidence in outcome.failure.evidence
    assert read_failure(Workspace(tmp_path).stage("sft", "a1b2").attempts()[0].failure) == outcome.failure


def test_only_what_a_stage_writes_itself_is_progress(tmp_path: Path) -> None:
    stage = Workspace(tmp_path).stage("sft", "a1b2")
    attempt = stage.claim_attempt(StageConfig("sft", {}, (), 0))
    assert attempt is not None
    with subprocess.Popen(["sleep", "60"]) as hung:
        watch = Watch(hung.pid, Limits(stall_s=0.2))
        assert watch.breach(attempt, stage.checkpoints) is None
        time.sleep(0.3)
        write_json(attempt.resources_so_far, {"cpu_s": 0.1})  # by a thread of the worker, which does not hang
        breach = watch.breach(attempt, stage.checkpoints)
        attempt.stdout.write_text("step 1\n")
        assert watch.breach(attempt, stage.checkpoints) is None
        hung.kill()
    assert breach is not None
    assert breach.failure_class == "stalled"


def test_without_being_asked_for_nothing_is_injected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULTS_VARIABLE, "*=crash")
    task = Task(tmp_path, "sft", "a1b2", "support.stage_targets:write_value", {}, seed=3, needs={})
    assert LocalExecutor().submit(task).wait(60) == Outcome("finished")


def test_faults_are_planned_by_kind_and_attempt() -> None:
    assert planned_fault("grpo=stall,sft=crash*2", "sft", 2) == "crash"
    assert planned_fault("grpo=stall,sft=crash*2", "sft", 3) is None
    assert planned_fault("*=nan", "grpo", 9) == "nan"
    assert CLASS_OF_FAULT.keys() <= FAULTS.keys()
    with pytest.raises(InputError, match="Did you mean 'stall'"):
        planned_fault("sft=stal", "sft", 1)


def test_a_bare_kill_is_lost_and_one_for_memory_is_not() -> None:
    assert describe_exit(-9).failure_class == "lost"
    assert describe_exit(-9, oom_kills=1).failure_class == "host_oom"
    assert describe_exit(-11).failure_class == "crash"
    assert describe_exit(1).failure_class == "lost"
    assert describe_exit(failures.EXIT_STORAGE).failure_class == "storage"
    assert classify(TimeoutError()) == "transient"


def test_a_transient_failure_is_tried_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "BACKOFF_S", 0.5)
    started = time.monotonic()
    assert run_sweep(tmp_path, "sft=connection*2").counts == {"ok": 1}
    assert time.monotonic() - started > 1.5
    failed = read_events(tmp_path / "experiments" / "sweep", EventKind.STAGE_FAILED)
    assert [event.failure_class for event in failed if isinstance(event, StageFailed)] == ["transient", "transient"]


def test_a_corrupt_artifact_is_computed_again(tmp_path: Path) -> None:
    assert run_sweep(tmp_path, "sft=corrupt*1").counts == {"ok": 1}
    sft = next(
        name for name, stage in make_plan(systems="di", training_types="sft").stages.items() if stage.kind == "sft"
    )
    assert executions(tmp_path).count(sft) == 2


def test_retries_have_limits_that_can_be_set_and_outlive_the_coordinator(tmp_path: Path) -> None:
    assert run_sweep(tmp_path, "sft=crash*4").counts == {"failed": 1}
    assert len(list((tmp_path / "stages" / "sft").rglob("failure.json"))) == 2
    assert run_sweep(tmp_path, "sft=crash*4").counts == {"failed": 1}
    assert len(list((tmp_path / "stages" / "sft").rglob("failure.json"))) == 2
    assert run_sweep(tmp_path, "sft=crash*4", retries={"crash": 4}).counts == {"ok": 1}


def test_what_was_given_up_stays_failed_though_its_class_would_be_tried_again(tmp_path: Path) -> None:
    assert run_sweep(tmp_path, "sft=crash*1", retries={"crash": 0}).counts == {"failed": 1}
    assert run_sweep(tmp_path, "").counts == {"failed": 1}
    assert run_sweep(tmp_path, "", retry=lambda name: name == "timeout").counts == {"failed": 1}
    assert run_sweep(tmp_path, "", retry=lambda name: name == "crash").counts == {"ok": 1}


def test_a_specification_sets_the_limits_of_retries(tmp_path: Path) -> None:
    save_plan(tmp_path, make_plan(systems="di", training_types="sft", retries={"crash": 0}))
    assert run_sweep(tmp_path, "sft=crash*1").counts == {"failed": 1}
    assert len(list((tmp_path / "stages" / "sft").rglob("failure.json"))) == 1


def test_memory_is_shared_by_fewer_after_it_ran_out(tmp_path: Path) -> None:
    assert run_sweep(tmp_path, "sft=host_oom*1", workers=4).counts == {"ok": 1}
    events = read_events(tmp_path / "experiments" / "sweep")
    assert [event.workers for event in events if isinstance(event, WorkersReduced)] == [2]


def test_a_full_disk_stops_the_experiment_and_is_no_failure_of_the_runs(tmp_path: Path) -> None:
    assert run_sweep(tmp_path, "sft=disk_full").state == "interrupted"
    assert run_sweep(tmp_path, "").counts == {"ok": 1}


def test_the_first_interrupt_drains_and_the_second_ends(tmp_path: Path) -> None:
    save_plan(tmp_path, make_plan(systems="di", parameters={"lora_rank": [4, 8]}, replicates=3))
    for interrupts in (1, 2):
        coordinating = subprocess.Popen(
            [sys.executable, "-P", "-m", "support.sweeps", str(tmp_path)],
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            stderr=subprocess.PIPE,
        )
        before = len(executions(tmp_path))
        while len(executions(tmp_path)) == before:
            time.sleep(0.01)
        for _ in range(interrupts):
            coordinating.send_signal(signal.SIGINT)
            time.sleep(0.02)
        _, stderr = coordinating.communicate(timeout=60)
        assert b"KeyboardInterrupt" in stderr
        status = read_status(Workspace(tmp_path), "sweep")
        assert status.state == "interrupted"
        assert interrupts == 2 or "cancelled" not in status.counts
    assert list((tmp_path / "stages").rglob("failure.json")) == []


def test_the_ledger_counts_executions(tmp_path: Path) -> None:
    task = Task(tmp_path, "sft", "a1b2", "support.stage_targets:write_value", {}, seed=3, needs={})
    executor(**{LEDGER_VARIABLE: str(tmp_path / "ledger")}).submit(task).wait(60)
    assert [line.split()[:3] for line in (tmp_path / "ledger").read_text().splitlines()] == [
        ["start", "sft", "a1b2"],
        ["end", "sft", "a1b2"],
    ]


def test_the_ledger_notes_a_stage_that_another_process_works_on(tmp_path: Path) -> None:
    task = Task(tmp_path, "sft", "a1b2", "support.stage_targets:write_value", {}, seed=3, needs={})
    lock = tmp_path / "ledger.locks" / "a1b2"
    lock.parent.mkdir()
    with lock.open("wb") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        executor(**{LEDGER_VARIABLE: str(tmp_path / "ledger")}).submit(task).wait(60)
    events = [line.split()[0] for line in (tmp_path / "ledger").read_text().splitlines()]
    assert events == ["overlap", "start", "end"]


def test_workers_share_the_gpus(tmp_path: Path) -> None:
    pool = LocalExecutor(devices=("0", "GPU-7"))
    jobs = [
        pool.submit(Task(tmp_path, "sft", f"a{number}", "support.stage_targets:write_device", {}, seed=0, needs={}))
        for number in range(2)
    ]
    assert [job.wait(60) for job in jobs] == [Outcome("finished")] * 2
    seen = {path.read_text() for path in (tmp_path / "stages").rglob("device.txt")}
    assert seen == {"0", "GPU-7"}


def test_gpus_are_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, found in (("0,2", ("0", "2")), ("", ()), ("-1", ())):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        machine.gpus.cache_clear()
        assert machine.gpus() == found
    machine.gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2,3")
    assert machine.default_workers() == 3
    machine.gpus.cache_clear()


class FakeNvml:
    """Two GPUs; process 4711 holds memory of the second one until it was asked for a few times."""

    def __init__(self, asked: int = 0) -> None:
        self._asked = asked

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[SimpleNamespace]:
        self._asked -= device
        return [SimpleNamespace(pid=4711)] if device == 1 and self._asked >= 0 else []

    def nvmlDeviceGetHandleByUUID(self, name: str) -> int:
        return {"GPU-first": 0, "GPU-second": 1}[name]

    def nvmlInit(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(used=(1 + device) * 10**9)

    def nvmlDeviceGetUtilizationRates(self, device: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=90 - 50 * device)


def test_resources_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    sampler = Sampler(GpuCounters(lambda _name: FakeNvml()), interval_s=0.001)
    deadline = threading.Event()
    deadline.wait(1.0)
    series = sampler.stop()
    assert series["sampled_peak_gpu_gb"] == 2.0
    assert series["sampled_peak_gpu_percent"] == 90.0
    assert 0 < series["sampled_peak_rss_gb"] < 100
    assert len(series["samples"]) <= 240
    assert GpuCounters(lambda _name: (_ for _ in ()).throw(ImportError())).read() == {}


def test_what_was_measured_so_far_is_kept_from_time_to_time() -> None:
    kept: list[float] = []

    def keep() -> None:
        kept.append(time.monotonic())
        raise OSError(errno.ENOSPC, "No space left on device")

    sampler = Sampler(GpuCounters(lambda _name: object()), interval_s=0.001, keep=keep, keep_every_s=0.05)
    time.sleep(0.5)
    series = sampler.stop()
    assert 2 <= len(kept) <= 10
    assert series["samples"][-1]["at_s"] > 0.1


@pytest.mark.parametrize(("visible", "fullest"), [("0", 1.0), ("1", 2.0), ("GPU-first", 1.0), ("0,1", 2.0), ("", None)])
def test_a_worker_counts_the_gpus_that_it_sees(
    visible: str, fullest: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert GpuCounters(lambda _name: FakeNvml()).read().get("gpu_gb") == fullest


def test_gpu_memory_of_a_worker_that_ended_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert left_behind(4711, GpuCounters(lambda _name: FakeNvml(asked=3))) == ""
    stuck = GpuCounters(lambda _name: FakeNvml(asked=10**6))
    assert left_behind(4711, stuck, patience_s=0.2) == "GPU memory of process 4711"
    assert left_behind(4712, stuck, patience_s=0.2) == ""


def test_a_process_that_would_not_go_is_named(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert left_behind(process.pid, None, patience_s=0.1) == f"processes {process.pid}"
        kill_group(process.pid)
        assert left_behind(process.pid, None) == ""  # dead, though nobody has reaped it yet
    run_sweep(tmp_path, "sft=sigkill*1")
    assert not list(read_events(tmp_path / "experiments" / "sweep", EventKind.LEFT_BEHIND))


def test_every_attempt_has_its_samples(tmp_path: Path) -> None:
    run(tmp_path, "")
    resources = read_json(Workspace(tmp_path).stage("sft", "a1b2").attempts()[0].resources)
    assert resources["samples"][0]["rss_gb"] > 0
