"""`setpoint experiment run`, `resume`, `retry` and `train`, with cheap stages in a process of their own."""

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

from support.command_line import command, setpoint

SWEEP = ["--systems", "double_integrator", "--dataset-name", "small", "--parameters", "lora_rank:4,8"]


def test_a_run_prints_its_report_on_stdout_and_progress_on_stderr(root: Path) -> None:
    done = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "=== Experiment Report: mine ===\n"
    assert "run lora_rank=4_both_s0" in done.stderr
    assert "\x1b" not in done.stderr
    again = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine", "--quiet", "--json")
    assert again.returncode == 0
    assert again.stderr == ""
    assert json.loads(again.stdout)["counts"] == {"ok": 2}
    other = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine", "--replicates", "3")
    assert other.returncode == 3
    assert "replicates was 1, now 3" in other.stderr


def test_the_same_command_again_resumes_and_fresh_does_not(root: Path) -> None:
    for _ in range(2):
        assert setpoint(root, "experiment", "run", *SWEEP).returncode == 0
    assert len(list((root / "experiments").iterdir())) == 1
    assert setpoint(root, "experiment", "run", *SWEEP, "--fresh").returncode == 0
    listed = json.loads(setpoint(root, "experiment", "list", "--json").stdout)
    assert len(listed) == 2
    assert listed[1]["experiment"] == f"{listed[0]['experiment']}-2"


def test_failed_runs_set_the_exit_code_and_can_be_retried(root: Path) -> None:
    (root / "fail-grpo").write_text('"rank": 4')
    failed = setpoint(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    assert failed.returncode == 4
    assert "1 run failed; a retry would fail again; start a new experiment" in failed.stderr  # it diverged
    (root / "fail-grpo").unlink()
    assert setpoint(root, "experiment", "resume", "mine").returncode == 4
    other = setpoint(root, "experiment", "retry", "mine", "--class", "crash")
    assert other.returncode == 4
    assert "no stage has failed with class crash (failure classes: diverged): nothing to retry" in other.stderr
    misspelt = setpoint(root, "experiment", "retry", "mine", "--class", "crsh")
    assert (misspelt.returncode, "Did you mean 'crash'?" in misspelt.stderr) == (3, True)
    assert "failed     lora_rank=4" in setpoint(root, "experiment", "status", "mine").stdout
    assert setpoint(root, "experiment", "retry", "mine").returncode == 0
    assert "no stage has failed: nothing to retry" in setpoint(root, "experiment", "retry", "mine").stderr
    (root / "fail-reference").write_text("")
    assert (
        setpoint(root, "train", "--system", "di", "--dataset-name", "small", "--evaluation-cases", "5").returncode == 5
    )


def test_an_interrupt_prints_how_to_resume(root: Path) -> None:
    line, environment = command(root, "experiment", "run", *SWEEP, "--experiment-id", "mine")
    process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
    while not (root / "ledger.txt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (
        stderr.splitlines()[-1]
        == f"setpoint: interrupted; resume with: setpoint experiment resume mine --workspace {root}"
    )
    assert "Traceback" not in stderr
    assert setpoint(root, "experiment", "resume", "mine").returncode == 0


def test_the_runs_of_a_transfer_can_be_given_alone_one_after_the_other(root: Path) -> None:
    line = ["--experiment-type", "transfer_learning", "--source-system", "di", "--target-systems", "vdp"]
    line += ["--training-type", "sft", "--dataset-name", "mixed"]
    commands = setpoint(root, "experiment", "plan", *line, "--commands").stdout.splitlines()
    planned = json.loads(setpoint(root, "experiment", "plan", *line, "--json").stdout)
    assert len(commands) == 3
    for text in commands:
        assert setpoint(root, "train", *shlex.split(text)[2:]).returncode == 0
    done = setpoint(root, "experiment", "run", *line, "--experiment-id", "transfer")
    assert done.returncode == 0, done.stderr
    assert sorted((root / "ledger.txt").read_text().split()) == sorted(planned["stages"])
