"""Which jobs are ours: ids are reused, other workspaces and users have jobs too, and scripts are edited by hand."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
from commands import Commands
from lab import Experiment

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.execution.slurm import Client, Profile, Resources, Tracker, Unavailable
from setpoint.execution.slurm.client import user_name
from setpoint.execution.slurm.parsing import submitted_id
from setpoint.execution.slurm.script import add_job, read_batches, read_jobs
from setpoint.experiments.slurm import jobs, scripts
from setpoint.records.plan import Plan
from support.sweeps import make_plan, save_plan

HOUR_S = 3600.0


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def row(
    job: str, name: str, state: str = "RUNNING", user: str = "", at_s: float | None = None, node: str = "n1"
) -> str:
    """A line of squeue."""
    array = job.partition("_")[0]
    submitted = utc(time.time() if at_s is None else at_s)
    return f"{job}|{array}|{state}|{user or user_name()}|{submitted}|{node}|None|{name}\n"


def generated(root: Path) -> tuple[Plan, scripts.GeneratedScripts]:
    """A planned experiment with scripts in a workspace."""
    plan = make_plan()
    save_plan(root, plan)
    cluster = scripts.Cluster(Profile(), Resources(mem_mb=100, time_min=5), ("setpoint",))
    return plan, scripts.generate(Workspace(root), plan, cluster, Client().limits)


def states(root: Path, plan: Plan) -> dict[str, str]:
    """Stage -> its state in `slurm status`, where a job is known."""
    return {each.stage: f"{each.state} {each.job}" for each in jobs.status(Workspace(root), plan, Client()) if each.job}


@pytest.fixture
def two(tmp_path: Path, commands: Commands) -> list[tuple[Path, Plan, scripts.GeneratedScripts]]:
    """The same experiment in two workspaces."""
    return [(tmp_path / name, *generated(tmp_path / name)) for name in ("first", "second")]


def test_jobs_of_an_equal_experiment_in_another_workspace_are_not_ours(
    two: list[tuple[Path, Plan, scripts.GeneratedScripts]], commands: Commands
) -> None:
    (_, _, first), (second_root, plan, second) = two
    commands.say("squeue", "".join(row(f"{7 + n}_0", each.name) for n, each in enumerate(first.batches)))
    assert {each.name for each in first.batches}.isdisjoint(each.name for each in second.batches)
    assert states(second_root, plan) == {}
    assert jobs.cancel(Workspace(second_root), plan, Client()) == []
    assert commands.calls("scancel") == []
    commands.say("squeue", row("7_0", first.batches[0].name) + row("9_0", second.batches[0].name))
    assert states(second_root, plan) == {second.batches[0].stages[0]: "running 9_0"}
    assert jobs.cancel(Workspace(second_root), plan, Client()) == ["9"]


def test_jobs_of_another_user_of_the_same_name_are_not_ours(
    two: list[tuple[Path, Plan, scripts.GeneratedScripts]], commands: Commands
) -> None:
    root, plan, mine = two[0]
    commands.say("squeue", row("7_0", mine.batches[0].name, user="somebody"))
    add_job(mine.batches[0].jobs_file, "7")
    assert jobs.cancel(Workspace(root), plan, Client()) == []
    assert "running" not in " ".join(states(root, plan).values())


def test_the_jobs_of_a_copied_workspace_are_those_of_the_original(tmp_path: Path, commands: Commands) -> None:
    plan, mine = generated(tmp_path / "first")
    add_job(mine.batches[0].jobs_file, "7")
    commands.say("squeue", row("7_0", mine.batches[0].name))
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(tmp_path / "first"), str(copy)], check=True)
    assert states(copy, plan) == {}
    assert jobs.cancel(Workspace(copy), plan, Client()) == []
    with pytest.raises(InputError, match="were written for another workspace"):
        scripts.read_generated(Workspace(copy), plan)
    (tmp_path / "link").symlink_to(tmp_path / "first")
    assert states(tmp_path / "link", plan) == {mine.batches[0].stages[0]: "running 7_0"} | {
        stage: "unknown 7_" + str(index) for index, stage in enumerate(mine.batches[0].stages) if index
    }


def test_an_id_that_was_given_again_is_another_job(tmp_path: Path, commands: Commands) -> None:
    """After the state of the controller was lost, ids restart: 660 comes before 1, and 660 is later somebody else's."""
    plan, mine = generated(tmp_path / "w")
    batch = mine.batches[0]
    batch.jobs_file.write_text(f"660 {utc(time.time() - 2 * HOUR_S)}Z\n1 {utc(time.time() - HOUR_S)}Z\n")
    commands.say("squeue", row("1_0", batch.name) + row("660_0", "else") + row("660_1", "else", "FAILED"))
    assert states(tmp_path / "w", plan)[batch.stages[0]] == "running 1_0"
    again = scripts.generate(
        Workspace(tmp_path / "w"), plan, scripts.Cluster(Profile(), Resources(), ("setpoint",)), Client().limits
    )
    again.batches[0].jobs_file.write_text(f"3 {utc(time.time())}Z\n")
    commands.say("squeue", row("3_0", again.batches[0].name) + row("1_0", batch.name, "CANCELLED"))
    assert states(tmp_path / "w", plan)[batch.stages[0]] == "running 3_0"
    assert [each.job for each in read_jobs(batch.jobs_file)] == ["660", "1"]


def test_an_accounting_row_of_an_older_job_with_the_same_id_explains_nothing(
    tmp_path: Path, commands: Commands
) -> None:
    plan, mine = generated(tmp_path / "w")
    batch = mine.batches[0]
    add_job(batch.jobs_file, "5")
    commands.configure("AccountingStorageType = accounting_storage/slurmdbd\n")
    old = f"5_0|5|CANCELLED by 0|0:0|0:0|n1|None|{user_name()}|2020-01-01T00:00:00"
    commands.say("sacct", f"{old}|{batch.name}\n{old}|else\n")
    assert states(tmp_path / "w", plan)[batch.stages[0]] == "unknown 5_0"
    new = old.replace("2020-01-01T00:00:00", utc(time.time())).replace("CANCELLED by 0", "FAILED")
    commands.say("sacct", f"{new}|{batch.name}\n{old}|{batch.name}\n")
    tracker = Tracker(Client(), mine.site.folder)
    assert tracker.poll()[batch.stages[0]].seen.state == "FAILED"  # type: ignore[union-attr]


def mark(generated: scripts.GeneratedScripts, script: str, stage: str, job: str, at_s: float) -> None:
    folder = generated.site.folder / "marks" / stage
    folder.mkdir(parents=True, exist_ok=True)
    fields = {"schema": 1, "script": script, "job": job, "restart": 0, "node": "n1", "at": f"{utc(at_s)}Z"}
    (folder / f"{job}-0.start.json").write_text(json.dumps({**fields, "exit_code": None}))


def test_tasks_that_were_never_submitted_are_planned_and_earlier_jobs_count(tmp_path: Path, commands: Commands) -> None:
    """`sbatch --array=0-1` of a script by hand, then `--array=0` again."""
    plan, mine = generated(tmp_path / "w")
    batch = max(mine.batches, key=lambda each: len(each.stages))
    assert len(batch.stages) >= 2
    before, now = time.time() - HOUR_S, time.time()
    first = row("7_0", batch.name, "FAILED", at_s=before)
    commands.say("squeue", first)
    assert set(states(tmp_path / "w", plan)) == {batch.stages[0]}
    commands.say("squeue", first + row("9_0", batch.name, at_s=now) + row("7_1", batch.name, at_s=before))
    found = states(tmp_path / "w", plan)
    assert (found[batch.stages[0]], found[batch.stages[1]]) == ("running 9_0", "running 7_1")
    commands.say("squeue", row("9_0", batch.name, at_s=now))  # SLURM has forgotten job 7; the mark has not
    mark(mine, batch.name, batch.stages[1], "7_1", before)
    assert states(tmp_path / "w", plan)[batch.stages[1]].endswith("7_1")


def test_a_line_deleted_from_a_script_moves_no_stage_to_anothers_job(tmp_path: Path, commands: Commands) -> None:
    plan, mine = generated(tmp_path / "w")
    batch = max(mine.batches, key=lambda each: len(each.stages))
    lines = batch.script.read_text().splitlines(keepends=True)
    batch.script.write_text("".join(line for line in lines if not re.match(rf"\s+{batch.stages[0]}\b", line)))
    commands.say("squeue", row("7_0", batch.name))
    assert states(tmp_path / "w", plan) == {batch.stages[1]: "running 7_0"}
    batch.script.write_text("".join(lines))  # the job was submitted before the line was put back
    mark(mine, batch.name, batch.stages[1], "7_0", time.time())
    assert states(tmp_path / "w", plan) == {batch.stages[1]: "running 7_0"}


def test_a_script_whose_list_was_reordered_by_hand(tmp_path: Path, commands: Commands) -> None:
    plan, mine = generated(tmp_path / "w")
    batch = max(mine.batches, key=lambda each: len(each.stages))
    first, second = batch.stages[:2]
    text = batch.script.read_text().replace(first, "@").replace(second, first).replace("@", second)
    batch.script.write_text(text)
    commands.say("squeue", row("7_0", batch.name))
    assert states(tmp_path / "w", plan) == {second: "running 7_0"}
    batch.script.write_text(text.replace("stages=(", "stages=$(cat list)\nno=("))
    assert dict(read_batches(mine.site.folder))[batch.script.with_suffix(".json")].stages == batch.stages


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("123\n", "123"),
        ("123;cluster\n", "123"),
        ("Welcome to the cluster!\nQuota: 5 of 10\n42\n", "42"),
        ("42\n** maintenance on 12/24 **\n", "42"),
        ("  42\t\n", "42"),
        ("", None),
        ("Submitted batch job 42\n", None),
        ("job 42 on 3 nodes\n4 2\n", None),
        ("-1\n", None),
    ],
)
def test_a_job_id_is_a_number_alone_on_a_line(printed: str, expected: str | None) -> None:
    assert submitted_id(printed) == expected


def test_a_submission_without_an_id_is_found_by_its_name(tmp_path: Path, commands: Commands) -> None:
    commands.say("sbatch", "welcome\n")
    with pytest.raises(Unavailable, match="printed no job id"):
        Client().submit(tmp_path / "a.sbatch", name="mine")
    commands.say("squeue", row("5_[0-3]", "mine", "PENDING", at_s=10.0) + row("4_0", "mine", at_s=20.0) + row("9", "x"))
    assert Client().submit(tmp_path / "a.sbatch", name="mine") == "4"


@pytest.mark.parametrize("printed", ["== login node 3 ==\n17\nbye\n", "17;lab\n", "== no id today ==\n"])
def test_submit_sh_reads_ids_among_banners(tmp_path: Path, commands: Commands, printed: str) -> None:
    _, mine = generated(tmp_path / "w")
    commands.say("sbatch", printed)
    commands.say("squeue", "2026-01-02T00:00:00 17\n2026-01-01T00:00:00 16\n")
    variables = {**os.environ, "SBATCH_ARRAY_INX": "0", "SCANCEL_STATE": "RUNNING"}
    done = subprocess.run([str(mine.submit)], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
    assert {each.job for batch in mine.batches for each in read_jobs(batch.jobs_file)} == {"17"}
    at_s = read_jobs(mine.batches[0].jobs_file)[0].at_s
    assert abs(at_s - time.time()) < 600
    assert commands.calls("scancel") == []


def test_submit_sh_stops_where_nothing_is_known_of_a_job(tmp_path: Path, commands: Commands) -> None:
    _, mine = generated(tmp_path / "w")
    commands.say("sbatch", "== no id today ==\n")
    done = subprocess.run([str(mine.submit)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "SLURM did not accept" in done.stderr


def test_variables_that_filter_the_commands_are_not_passed(
    tmp_path: Path, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = tmp_path / "shown"
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/bash\nenv >{shown}\n")
    for name in ("SQUEUE_STATES", "SQUEUE_FORMAT", "SLURM_TIME_FORMAT", "SCANCEL_STATE", "SACCT_FEDERATION"):
        monkeypatch.setenv(name, "x")
    Client().queue(["1"])
    assert re.findall("^(SQUEUE|SLURM_TIME|SCANCEL|SACCT)", shown.read_text(), re.M) == []
    assert "TZ=UTC" in shown.read_text().splitlines()


def test_a_banner_is_no_limit_on_submissions(commands: Commands) -> None:
    commands.configure("AccountingStorageType = accounting_storage/slurmdbd\n")
    commands.say("sacctmgr", "Welcome to cluster 9\n|200\n1000|\n")
    assert Client().limits.submit_limit == 200


def test_coordinators_of_equal_experiments_give_their_jobs_different_names(tmp_path: Path, commands: Commands) -> None:
    names = []
    for name in ("a", "b"):
        experiment = Experiment(tmp_path / name)
        experiment.add("s0", do="write")
        names.append(experiment.executor()._batch([experiment.task("s0")]).name)
    assert names[0] != names[1]
    assert all(name.startswith("sft-1-") for name in names)


def test_cancel_with_no_answer_says_so(
    two: list[tuple[Path, Plan, scripts.GeneratedScripts]], commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    root, plan, _ = two[0]
    commands.say("squeue", "", err="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    assert main(["slurm", "cancel", plan.experiment, "--workspace", str(root)]) != 0
    assert "Unable to contact slurm controller" in capsys.readouterr().err
