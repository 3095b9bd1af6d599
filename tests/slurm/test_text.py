"""Texts that go to SLURM and come back from it; no cluster needed."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import yaml
from lab import HERE

from setpoint.artifacts import Lock
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.execution.slurm import Profile, Resources
from setpoint.execution.slurm.client import Refused, SubmitLimit, Unavailable, _environment, _refusal
from setpoint.execution.slurm.parsing import QueueEntry, accounting, control, is_truncated, queue
from setpoint.execution.slurm.profile import read_profile
from setpoint.execution.slurm.resources import minutes, named
from setpoint.execution.slurm.script import Batch, Site, job_name, script_text
from setpoint.execution.slurm.tracking import JobState, explain

ROOT = HERE.parents[1]


def test_resources_are_read_as_users_write_them() -> None:
    assert Resources.parse("gpu:1,mem:32GB,time:24:00:00") == Resources(gpus=1, mem_mb=32768, time_min=1440)
    assert dict(Resources.parse("gpu:a100:2,cpus:8").options())["gres"] == "gpu:a100:2"
    for text in ("gpu:a100:2,mem:500M,time:1-0,cpus:8", "mem:3GB", "gpu:2,time:90"):
        assert Resources.parse(Resources.parse(text).text()) == Resources.parse(text)
    assert named("gpu:a100:2, time:90") == {"gpu", "time"}
    assert Resources.parse("gpu:a100:2,mem:64GB").overridden("time:90,gpu:1") == Resources(1, "", 65536, 90)
    assert Resources.parse("mem:3GB,time:5").text({"time"}) == "time:5"
    times = {
        "90": 90,
        "1:30:00": 90,
        "2-0": 2880,
        "1-12:30": 2190,
        "0:30": 1,
        "x": None,
        "25:99": None,
        "1:60:00": None,
    }
    assert {text: minutes(text) for text in times} == times


def test_everything_wrong_with_resources_is_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        Resources.parse("gpus:1,mem:much,time:,cpus:0")
    assert len(str(error.value).splitlines()) == 4
    assert "Did you mean 'gpu'" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpu:-1", "gpu must be a number, or type:number as in gpu:a100:2, but is '-1'"),
        ("mem:32", "mem must be a size such as 32GB or 500M, but is '32'. Give it a unit"),
        ("time:25:99", "time must be hours:minutes:seconds, days-hours or minutes, but is '25:99'"),
        ("gpu:1,mem:1GB,gpu:2", "resource 'gpu' is given 2 times in 'gpu:1,mem:1GB,gpu:2'"),
        ("gpu", "resource 'gpu' needs a value"),
    ],
)
def test_nonsense_is_refused_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    wanted = ["--systems", "di", "--parameters", "lora_rank:4,8", "--resource-limits", text]
    assert main(["slurm", "generate", *wanted, "--workspace", str(tmp_path)]) == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert words in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/slurm/*.yaml")), ids=lambda path: path.name)
def test_every_profile_in_the_repository_can_be_used(path: Path) -> None:
    Resources.parse(read_profile(path).resources)


def test_jobs_without_a_gpu_ask_for_no_feature_of_the_gpus_nodes() -> None:
    profile = read_profile(ROOT / "configs" / "slurm" / "gpu_and_cpu.yaml")
    assert profile.allocation(gpu=True)["constraint"] == "a100"
    assert profile.allocation(gpu=False)["partition"] == "cpu"
    assert "constraint" not in profile.allocation(gpu=False)
    assert Profile(partition="all", constraint="ib").allocation(gpu=False) == {"partition": "all", "constraint": "ib"}


def test_a_profile_with_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump({"partitoin": "gpu"}))
    with pytest.raises(InputError, match="Did you mean 'partition'"):
        read_profile(path)
    for mistake, words in {
        "at_once: 0": "at_once must be at least 1, got 0",
        "requeue: maybe": "requeue must be true or false, got 'maybe'",
        "resources: gpu:-1,mem:32": r"resources: .* is '-1'\. mem must be .* Give it a unit\.$",
        "options: {array: 0-3}": "'array' cannot be set here; use the field 'at_once'",
        "options: {time: 24:00:00}": "'time' cannot be set here; use the field 'resources'",
        "options: {output: /x}": "'output' cannot be set here; the scripts set it",
        "options: {--nice: 5}": "'--nice' is not the long name of an option",
        "environment: {a b: c}": "'a b' is not a valid variable name",
        "a: b: c": "line 1: not YAML",
    }.items():
        path.write_text(mistake)
        with pytest.raises(InputError, match=words) as error:
            read_profile(path)
        assert len(str(error.value).splitlines()) == 1


def test_a_profile_as_users_write_it(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("account: 1234\noptions: {nice: 100, exclusive: true, exclude: n7}\nenvironment: {THREADS: 4}\n")
    profile = read_profile(path)
    site = Site(tmp_path, "sweep", profile, ("setpoint",))
    lines = script_text(site, Batch("a", site.folder, "sft", ("aa",), Resources(), exclude=("n1",))).splitlines()
    expected = {"#SBATCH --account=1234", "#SBATCH --nice=100", "#SBATCH --exclusive", "#SBATCH --exclude=n1,n7"}
    assert expected | {"export THREADS=4"} <= set(lines)


ODD = "a b'c\"d$(touch pwned)`touch pwned`;e\\f\ng"


def script(folder: Path, **profile: object) -> str:
    site = Site(folder, "sweep", Profile.model_validate(profile), ("setpoint",))
    batch = Batch("sweep-1", site.folder / "scripts1", "sft", ("aa", "bb"), Resources(), comments={"aa": ODD})
    return script_text(site, batch)


def test_a_script_is_bash_whatever_the_names(tmp_path: Path) -> None:
    text = script(tmp_path / ODD, partition=ODD, environment={"NAME": ODD}, venv=ODD)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    head = text.partition("stage=${stages")[0].replace("source", "true")
    shown = subprocess.run(
        ["bash", "-c", f'{head}\nprintf "%s|%s|%s" "$workspace" "$NAME" "${{stages[*]}}"'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0"},
        check=True,
    )
    log = tmp_path / ODD / "experiments" / "sweep" / "slurm" / "scripts1" / "logs" / "sweep-1-1_0.log"
    assert log.read_text() == f"{tmp_path / ODD}|{ODD}|aa bb"
    assert shown.stderr == ""
    assert not (tmp_path / "pwned").exists()


def test_workers_look_for_nothing_outside(tmp_path: Path) -> None:
    assert "export HF_HUB_OFFLINE=1" in script(tmp_path).splitlines()


def test_directives_are_one_line_each() -> None:
    lines = script(Path("/w"), partition="x\n#SBATCH --account=other").splitlines()
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert '#SBATCH --partition="x?#SBATCH --account=other"' in directives
    assert not any(line.startswith("#SBATCH --account") for line in directives)
    assert job_name("a b", "$(x)", "1") == "a_b-_x_-1"


def test_squeue_lines() -> None:
    text = (
        "7_0|8|RUNNING|me|1970-01-02T00:00:00|n1|None|name\n7_[1-2,5%2]|7|PENDING|me|N/A||Dependency|name\nnonsense\n"
        "9|9|CANCELLED+|me|N/A||None|a|b\n"
    )
    found = queue(text)
    assert found.keys() == {"7_0", "7_1", "7_2", "7_5", "9"}
    assert found["7_0"] == QueueEntry("7_0", "RUNNING", "None", node="n1", name="name", user="me", submitted_s=86400.0)
    assert found["7_5"].reason == "Dependency"
    assert (found["9"].state, found["9"].name) == ("CANCELLED", "a|b")
    assert not QueueEntry("1", "SOME_NEW_STATE").ended


def test_sacct_rows_of_a_requeued_job_and_of_its_steps() -> None:
    text = (
        "7_0|8|NODE_FAIL|0:0|0:0|n1|None|me|2026-01-01T00:00:00|name\n"
        "7_0|8|FAILED|1:0|0:125|n2|None|me|2026-01-01T00:00:09|name\n"
        "7_0.0|8.0|OUT_OF_MEMORY|0:125||n2|||2026-01-01T00:00:09|batch\n"
        "7_0|3|COMPLETED|0:0|0:0|n2|None|you|2025-01-01T00:00:00|a|b\n"
        "7_1|9|CANCELLED by 1000|0:0|0:0|None assigned|None|me|2026-01-01T00:00:00|name\n"
    )
    first, older, second = accounting(text)
    assert (older.state, older.user, older.name) == ("COMPLETED", "you", "a|b")
    assert (first.state, first.node, first.out_of_memory) == ("FAILED", "n2", True)
    assert (second.state, second.out_of_memory) == ("CANCELLED", False)


def test_tasks_that_never_began_share_a_line() -> None:
    rest = "None|me|2026-01-01T00:00:00|name"
    shared = f"7_[0-4:2,6%2]|7|CANCELLED by 0|0:0|None|None assigned|{rest}\n7_2|9|COMPLETED|0:0|0:0|n1|{rest}\n"
    assert {seen.job: seen.state for seen in accounting(shared)} == {
        **dict.fromkeys(("7_0", "7_4", "7_6"), "CANCELLED"),
        "7_2": "COMPLETED",
    }
    line = "JobId=7 ArrayJobId=7 ArrayTaskId=0-1,3%2 JobState=CANCELLED Reason=x ExitCode=0:0"
    assert [seen.job for seen in control(line)] == ["7_0", "7_1", "7_3"]
    whole, cut = "7_[1-2,4]|7|PENDING|None||a", "7_[1-2,4-5,|7|PENDING|None||a"
    assert [is_truncated(text) for text in ("", "7_1|8|RUNNING|None|n1|a_[b", whole, f"{whole}\n{cut}")] == [
        *(False, False, False),
        True,
    ]


def test_scontrol_is_not_deceived_by_paths() -> None:
    line = "JobId=8 ArrayJobId=7 ArrayTaskId=0 JobState=FAILED Reason=x ExitCode=0:9 NodeList=n1"
    line += " WorkDir=/a JobState=COMPLETED ExitCode=0:0"
    (seen,) = control(line + "\nslurm_load_jobs error\n")
    assert (seen.job, seen.state, seen.exit_code) == ("7_0", "FAILED", "0:9")


def test_refusals_are_told_apart() -> None:
    failed = "sbatch: error: Batch job submission failed: "
    limit = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
    assert isinstance(_refusal(f"{failed}Socket timed out on send/recv operation"), Unavailable)
    for name in ("AssocMaxSubmitJobLimit", "AssocGrpSubmitJobsLimit", "QOSMaxSubmitJobPerUserLimit"):
        assert isinstance(_refusal(f"sbatch: error: {name}\n{failed}{limit}"), SubmitLimit)
    for name in ("QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit", "QOSMaxCpuPerJobLimit"):
        assert isinstance(_refusal(f"sbatch: error: {name}\n{failed}{limit}"), Refused)
    assert str(_refusal("sbatch: error: invalid partition specified: x\n")) == "invalid partition specified: x"


def test_jobs_inherit_the_users_choices_and_nothing_of_a_surrounding_job() -> None:
    kept = {"SLURM_CONF": "/c", "SBATCH_ACCOUNT": "a", "SBATCH_PARTITION": "p", "HOME": "/h"}
    passed = _environment({**kept, "SLURM_MEM_PER_CPU": "64", "SLURM_JOB_ID": "7", "SBATCH_EXPORT": "NONE"})
    assert passed == {**kept, "LC_ALL": "C", "SLURM_BITSTR_LEN": "0"}


def test_a_warning_that_comes_before_the_stage_listens_sends_it_back_to_the_queue(tmp_path: Path) -> None:
    deaf = "#!/bin/bash\n[ $0 != ${0%deaf} ] || { echo $* >>asked; exit 1; }\nkill -USR1 $PPID\nsleep 20\n"
    for name in ("deaf", "scontrol"):
        (tmp_path / name).write_text(deaf)
        (tmp_path / name).chmod(0o755)
    site = Site(tmp_path, "sweep", Profile(), (str(tmp_path / "deaf"),))
    text = script_text(site, Batch("a", site.folder, "sft", ("aa",), Resources(time_min=2)))
    assert "#SBATCH --signal=B:USR1@60" in text.splitlines()  # a warning at the very start would help nobody
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    for restart, asked in (("0", "requeue 7_0\n"), ("20", "")):
        (tmp_path / "asked").write_text("")
        done = subprocess.run(
            ["bash", "-c", text], cwd=tmp_path, env={**variables, "SLURM_RESTART_COUNT": restart}, check=False
        )
        assert done.returncode == 128 + signal.SIGUSR1
        assert (tmp_path / "asked").read_text() == asked


def test_a_script_says_what_is_amiss(tmp_path: Path) -> None:
    path = tmp_path / "a.sbatch"
    for profile, task, code, words in (
        ({}, {}, 1, "submit this with sbatch"),
        ({}, {"SLURM_ARRAY_TASK_ID": "2"}, 2, "there is no stage number 2"),
        ({"venv": "/nowhere"}, {"SLURM_ARRAY_TASK_ID": "0"}, 127, "/nowhere/bin/activate"),
        ({"conda": "x"}, {"SLURM_ARRAY_TASK_ID": "0"}, 127, "conda: command not found"),
    ):
        path.write_text(script(tmp_path, **profile))
        variables = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **task}
        done = subprocess.run(["bash", str(path)], capture_output=True, text=True, env=variables, check=False)
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        (JobState("1_0", "lost"), "lost"),
        (JobState("1_0", "ended", exit_code=75), "preempted"),
        (JobState("1_0", "ended", exit_code=127), "config"),
        (JobState("1_0", "ended", exit_code=0), "lost"),
        (JobState("1_0", "ended", QueueEntry("1_0", "NODE_FAIL"), node="n1"), "node_failure"),
        (JobState("1_0", "ended", QueueEntry("1_0", "FAILED", exit_code="0:53")), "transient"),
        (JobState("1_0", "ended", QueueEntry("1_0", "FAILED", exit_code="0:9")), "lost"),
        (JobState("1_0", "ended", QueueEntry("1_0", "FAILED", exit_code="1:0", out_of_memory=True), 137), "host_oom"),
    ],
)
def test_what_an_end_means(fate: JobState, expected: str) -> None:
    assert explain(fate)[0] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("slurmstepd-gpu-07.lab: error: StepId=1.batch exceeded memory limit (407748608 > 104857600)", "host_oom"),
        ("slurmstepd: error: Exceeded job memory limit", "host_oom"),
        ("the model exceeded memory limit", "lost"),
    ],
)
def test_slurms_own_word_that_memory_ran_out(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "a-1_0.log").write_text(f"first\n{line}\nlast\n")
    fate = JobState("1_0", "ended", QueueEntry("1_0", "FAILED", exit_code="0:9"), log_stem=tmp_path / "a")
    assert explain(fate)[0] == expected


def test_a_lock_of_an_earlier_start_of_the_same_job_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Lock("another-host", "boot", 1, "1", "token", "12_3/0")
    monkeypatch.setenv("SLURM_JOB_ID", "15")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert Lock.of_this_process().job == "12_3/1"
    assert not elsewhere.alive()
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    assert elsewhere.alive()
    assert Lock(socket.gethostname(), "boot", 1, "1", "token").alive() is False
