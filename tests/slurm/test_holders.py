"""Stages and experiments that a job holds after it has ended: SLURM is asked, and nobody waits for a dead job."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import CONFIG, Commands
from lab import Experiment
from test_identity import row, utc

from setpoint.artifacts import Attempt, Lock, StageFolder, read_lock
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.execution.attempt import EXIT_BUSY, attempt_task
from setpoint.execution.slurm import Client, JobState
from setpoint.execution.slurm.holders import free_stages
from setpoint.execution.slurm.parsing import QueueEntry
from setpoint.execution.slurm.tracking import awaits_files
from setpoint.experiments.running.lease import lease
from support.sweeps import make_plan, save_plan

JOB = "660_0"


@pytest.fixture
def held(tmp_path: Path, commands: Commands) -> Experiment:
    """A stage that job 660_0 on another host has claimed."""
    commands.configure(f"ClusterName = lab\n{CONFIG}")
    experiment = Experiment(tmp_path / "w")
    experiment.add("s0", do="write")
    claim(experiment.folder("s0"), f"{JOB}/0")
    return experiment


def claim(stage: StageFolder, job: str, cluster: str = "lab") -> Attempt:
    attempt = Attempt(stage.attempts_folder / "0001")
    attempt.path.mkdir(parents=True)
    assert Lock("another-host", "boot", 1, "1", "token", job, cluster).create(attempt.lock)
    return attempt


NOT_FREE = {
    "running": lambda: row(JOB, "sft-1"),
    "suspended": lambda: row(JOB, "sft-1", "SUSPENDED"),
    "completing": lambda: row(JOB, "sft-1", "COMPLETING"),
    "sent back to the queue": lambda: row(JOB, "sft-1", "PENDING"),
}
FREE = {
    "forgotten": lambda: "",
    "its node failed": lambda: row(JOB, "sft-1", "NODE_FAIL"),
    "cancelled": lambda: row(JOB, "sft-1", "CANCELLED"),
    "the id is another user's": lambda: row(JOB, "sft-1", user="somebody"),
    "the id was given again": lambda: row(JOB, "sft-1", at_s=time.time() + 7200),
    "only another task of the array runs": lambda: row("660_1", "sft-1"),
}


@pytest.mark.parametrize("listed", FREE.values(), ids=FREE)
def test_a_claim_of_a_job_that_has_ended_is_freed(
    held: Experiment, commands: Commands, listed: Callable[[], str]
) -> None:
    commands.say("squeue", listed())
    freed = free_stages([held.folder("s0")], Client())
    assert freed == {"s0": "node_failure" if "NODE_FAIL" in listed() else freed["s0"]}
    assert not held.folder("s0").attempts()[0].running()
    assert free_stages([held.folder("s0")], Client()) == {}


@pytest.mark.parametrize("listed", NOT_FREE.values(), ids=NOT_FREE)
def test_a_claim_of_a_job_that_goes_on_is_kept(held: Experiment, commands: Commands, listed: Callable[[], str]) -> None:
    commands.say("squeue", listed())
    assert free_stages([held.folder("s0")], Client()) == {}
    assert held.folder("s0").attempts()[0].running()


def test_a_claim_is_kept_while_slurm_does_not_answer_or_is_another_cluster(
    held: Experiment, commands: Commands
) -> None:
    commands.say("squeue", "", err="Unable to contact slurm controller\n", code=1)
    assert free_stages([held.folder("s0")], Client()) == {}
    commands.say("squeue", "")
    commands.configure(f"ClusterName = other\n{CONFIG}")
    assert free_stages([held.folder("s0")], Client()) == {}
    assert held.folder("s0").attempts()[0].running()


def test_a_job_that_waits_says_so_and_takes_over_from_a_dead_one(held: Experiment, commands: Commands) -> None:
    commands.say("squeue", row(JOB, "sft-1"))
    said: list[str] = []
    code = attempt_task(
        held.task("s0"), patience_s=1.0, free=lambda stage: free_stages([stage], Client()), notify=said.append
    )
    assert code == EXIT_BUSY
    (line,) = said
    assert "job 660_0, process 1 on another-host, is computing this stage" in line
    commands.say("squeue", row(JOB, "sft-1", "NODE_FAIL"))
    assert free_stages([held.folder("s0")], Client()) == {"s0": "node_failure"}
    found = held.folder("s0").claim_attempt(held.task("s0").stage_config())
    assert found is not None
    assert found.number == 2


def hold(folder: Path, job: str) -> Path:
    path = folder / "leases" / "0001.json"
    path.parent.mkdir(parents=True)
    Lock("another-host", "boot", 1, "1", "token", job, "lab").create(path)
    return path


@pytest.mark.parametrize("job", ["", "9/0"], ids=["login node", "job"])
def test_a_coordinator_on_another_host_is_refused_unless_told_to_take_over(
    tmp_path: Path, commands: Commands, job: str
) -> None:
    commands.configure(f"ClusterName = lab\n{CONFIG}")
    commands.say("squeue", row("9", "coordinate"))
    folder = tmp_path / "experiments" / "sweep"
    hold(folder, job)
    with pytest.raises(InputError, match=r"on another-host.*take over with --take-over"), lease(folder):
        pass
    with lease(folder, take_over=True):
        found = read_lock(folder / "leases" / "0002.json")
        assert found is not None
        assert found.alive()
        with pytest.raises(InputError, match="is being run by process") as error, lease(folder, take_over=True):
            pass
        assert "--take-over" not in str(error.value)  # this host can be asked
    with lease(folder):
        pass


def test_a_lease_of_a_coordinators_job_that_has_ended_is_over(tmp_path: Path, commands: Commands) -> None:
    commands.configure(f"ClusterName = lab\n{CONFIG}")
    folder = tmp_path / "experiments" / "sweep"
    hold(folder, "9/0")
    with lease(folder) as token:
        assert token.startswith("0002-")


def test_collect_records_claims_of_jobs_that_are_gone_and_takes_over(
    tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.configure(f"ClusterName = lab\n{CONFIG}")
    plan = make_plan()
    save_plan(tmp_path, plan)
    name, stage = next(iter(plan.stages.items()))
    claim(StageFolder(tmp_path / "stages" / stage.kind / name), f"{JOB}/0")
    hold(tmp_path / "experiments" / plan.experiment, "")
    assert main(["slurm", "collect", plan.experiment, "--workspace", str(tmp_path)]) == 3
    assert "--take-over" in capsys.readouterr().err
    main(["slurm", "collect", plan.experiment, "--workspace", str(tmp_path), "--take-over"])
    assert f"{stage.kind} {name} failed (lost)" in capsys.readouterr().err


def ended(code: int, state: str = "COMPLETED") -> JobState:
    return JobState("5_0", "ended", QueueEntry("5_0", state, exit_code=f"{code}:0"), exit_code=code)


@pytest.mark.parametrize(("code", "expected"), [(0, True), (1, True), (75, True), (137, False), (76, False)])
def test_files_that_a_job_must_have_left_are_waited_for(tmp_path: Path, code: int, expected: bool) -> None:
    experiment = Experiment(tmp_path)
    experiment.add("s0", do="write")
    stage = experiment.folder("s0")
    assert awaits_files(stage, ended(code)) == expected
    claim(stage, "5_0/0")
    (stage.path / "attempts" / "0001" / "failure.json").write_text("{}")
    assert awaits_files(stage, ended(code)) == (code == 0)


def test_a_result_that_appears_late_is_not_lost(tmp_path: Path, commands: Commands) -> None:
    """The attribute cache of a network file system: the job has ended well, its files come a moment later."""
    experiment = Experiment(tmp_path / "w")
    for name in ("late", "never"):
        experiment.add(name, do="write")
    commands.say("sbatch", "5\n")
    executor = experiment.executor()
    jobs = {name: executor.submit(experiment.task(name)) for name in ("late", "never")}
    until_s = time.monotonic() + 20
    while not list(executor._folder.glob("*.jobs")) and time.monotonic() < until_s:
        jobs["late"].wait(0.1)
    (batch,) = executor._folder.glob("*.jobs")
    commands.say("squeue", "".join(row(f"5_{index}", batch.stem, "COMPLETED") for index in (0, 1)))
    assert jobs["late"].wait(1.5) is None
    publish(experiment.folder("late"))
    assert jobs["late"].wait(10.0).state == "finished"  # type: ignore[union-attr]
    outcome = jobs["never"].wait(20.0)
    assert outcome is not None
    assert outcome.failure is not None
    assert outcome.failure.failure_class == "missing_result"


def publish(stage: StageFolder) -> None:
    """A finished stage, as it appears when the file system shows it."""
    stage.path.mkdir(parents=True, exist_ok=True)
    manifest = {
        **{"schema": 1, "stage": stage.path.name, "kind": stage.path.parent.name, "attempt": 1, "files": {}},
        **{"finished_at": f"{utc(time.time())}+00:00", "summary": {}, "provenance": {}},
        "measured": {},
    }
    (stage.path / "manifest.json").write_text(json.dumps(manifest))
