"""What is printed works here: offers after a rejection, commands as remedies, and how often SLURM is asked."""

import re
import shlex
import time
from pathlib import Path

import pytest
from commands import CONFIG, Commands
from lab import Experiment
from test_identity import generated, row, states

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.cli.slurm import _show
from setpoint.execution.slurm import Batch, Client, Profile, Resources
from setpoint.execution.slurm.offers import nearest_fit
from setpoint.execution.slurm.script import Site
from setpoint.experiments.running.commands import last_on_slurm, resume_command
from setpoint.experiments.slurm import jobs, scripts
from setpoint.records.journal import Journal, Started
from support.sweeps import make_plan, save_plan

ASSOCIATIONS = "physics||normal,long\nshared|debug|normal\nchemistry|gpu|high\n"


def advice(tmp_path: Path, reason: str, **profile: str) -> str:
    site = Site(tmp_path, "sweep", Profile.model_validate(profile), ("setpoint",))
    return nearest_fit(Client(), site, Batch("a", site.folder, "sft", ("s0",), Resources()), reason)


@pytest.mark.parametrize(
    ("reason", "profile", "words"),
    [
        ("Invalid account or account/partition combination specified", {"account": "phisics"},
         "You cannot use account 'phisics'. Did you mean 'physics'? Available: physics."),
        ("Invalid account or account/partition combination specified", {"account": "x", "partition": "gpu"},
         "Available: chemistry, physics."),
        ("Invalid account or account/partition combination specified", {}, "Set 'account' in the profile. Available"),
        ("Invalid qos specification", {"qos": "lang"}, "'lang'. Did you mean 'long'? Available: high, long, normal."),
        ("Invalid qos specification", {"qos": "high", "account": "shared"}, "Available: normal."),
        ("Requested reservation is invalid", {"options": {"reservation": "curse"}},
         "You cannot use reservation 'curse'. Did you mean 'course'? Available: course, maintenance."),
        ("Invalid feature specification", {"constraint": "a1000"}, "Did you mean 'a100'? Available: a100, ib."),
        ("Requested node configuration is not available", {}, "Lower --resource-limits"),
        ("QOSMaxWallDurationPerJobLimit", {"qos": "normal"}, "Lower --resource-limits"),
        ("invalid partition specified: gpo", {"partition": "gpo"}, "no partition 'gpo'. Did you mean 'gpu'?"),
    ],
)  # fmt: skip
def test_a_rejection_names_what_this_user_has(
    tmp_path: Path, commands: Commands, reason: str, profile: dict[str, str], words: str
) -> None:
    commands.say("sinfo", "gpu|60|8|32000|gpu:2\ndebug|10|8|32000|(null)\n")
    commands.say("sacctmgr", ASSOCIATIONS)
    if "reservation" in reason:
        commands.say("scontrol", "ReservationName=course StartTime=x\nReservationName=maintenance StartTime=x\n")
    if "feature" in reason:
        commands.say("sinfo", "gpu|60|8|32000|gpu:2\na100,ib\n(null)\n")
    assert words in advice(tmp_path, reason, **profile)


def test_without_a_database_there_is_no_advice_on_accounts(tmp_path: Path, commands: Commands) -> None:
    commands.say("sinfo", "gpu|60|8|32000|gpu:2\n")
    commands.say("sacctmgr", "", err="You are not running a supported accounting_storage plugin\n", code=1)
    assert advice(tmp_path, "Invalid account or account/partition combination specified", account="x") == ""


def printed_commands(text: str) -> list[list[str]]:
    """The commands between back quotes."""
    return [shlex.split(found)[1:] for found in re.findall(r"`(setpoint [^`…]+)`", text)]


@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_actions_of_status_are_commands_that_work(
    tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str], has_scripts: bool
) -> None:
    """After a coordinator was killed there are no scripts to submit; then only it can go on."""
    commands.say("sbatch", "7\n")
    root = tmp_path / "a b"
    plan = make_plan()
    if has_scripts:
        plan, _ = generated(root)
    else:
        save_plan(root, plan)
    actions = {report.action for report in jobs.status(Workspace(root), plan, Client())}
    (command,) = printed_commands(" ".join(actions))
    assert command[:2] == (["slurm", "submit"] if has_scripts else ["experiment", "resume"])
    assert command[-2:] == (["--workspace", str(root)] if has_scripts else ["--on", "slurm"])
    if has_scripts:
        assert main(command) == 0
        monitor = re.search(r"Monitor it with: (setpoint .*)", capsys.readouterr().out)
        assert monitor is not None
        assert main(shlex.split(monitor[1])[1:]) == 0


def test_the_remedies_for_failed_stuck_and_lost_stages_are_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = jobs._commands(Workspace(tmp_path), make_plan())
    texts = [text.format(**commands, job="7_0") for text in (*jobs.ACTIONS.values(), *jobs.STUCK.values())]
    found = printed_commands(" ".join(texts))
    assert {tuple(words[:2]) for words in found} == {
        ("experiment", "resume"), ("experiment", "retry"), ("slurm", "collect"), ("slurm", "cancel"),
    }  # fmt: skip
    for words in found:  # the experiment does not exist here, and nothing else is amiss
        assert main(words) == 3
        assert "no experiment" in capsys.readouterr().err


def test_where_an_experiment_last_ran_decides_how_it_is_resumed(tmp_path: Path, commands: Commands) -> None:
    plan, mine = generated(tmp_path)
    workspace, folder = Workspace(tmp_path), mine.site.folder.parent
    assert not last_on_slurm(folder)
    scripts.add_job(mine.batches[0].jobs_file, "7")
    assert resume_command(workspace, plan.experiment, "retry").endswith(f"--workspace {tmp_path} --on slurm")
    journal = Journal(folder, "0001-a")
    time.sleep(0.01)
    journal.record(Started(stages=1, runs=1))
    assert resume_command(workspace, plan.experiment) == f"setpoint experiment resume sweep --workspace {tmp_path}"
    journal.record(Started(stages=1, runs=1, on="slurm"))
    assert last_on_slurm(folder)


def test_a_submission_says_where_the_report_will_be(
    tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    _, mine = generated(tmp_path)
    _show(mine, {mine.batches[0].name: "7"}, as_json=False)
    assert str(tmp_path / "experiments" / "sweep" / "reports" / "report.txt") in capsys.readouterr().out


def test_slurm_is_asked_rarely_and_for_all_jobs_at_once(tmp_path: Path, commands: Commands) -> None:
    """200 stages for 8 s at an interval of 1 s that grows: one query for all of them each time."""
    commands.configure(CONFIG.replace("none", "slurmdbd"))
    commands.say("sbatch", "5\n")
    experiment = Experiment(tmp_path / "w")
    names = [f"s{number}" for number in range(200)]
    for name in names:
        experiment.add(name, do="write")
    executor = experiment.executor()
    executor._interval_s = executor._shortest_s = 1.0
    pending = [executor.submit(experiment.task(name)) for name in names]
    until_s = time.monotonic() + 8.0
    while time.monotonic() < until_s:
        if path := next(executor._folder.glob("*.jobs"), None):
            commands.say("squeue", row("5_[0-199]", path.stem, "PENDING"))
        assert all(job.wait(0) is None for job in pending)
        time.sleep(0.1)
    assert len(commands.calls("sbatch")) == 1
    assert 2 <= len(commands.calls("squeue")) <= 6
    assert commands.calls("sacct") == []
    assert [call for call in commands.calls("scontrol") if call != "show config"] == []


def test_the_interval_is_in_the_profile(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    experiment.add("s0", do="write")
    assert Profile().poll_s == 30
    from setpoint.execution.slurm import SlurmExecutor
    from setpoint.execution.slurm.executor import ResourceRequest

    site = Site(tmp_path, "sweep", Profile(poll_s=90), ("setpoint",))
    assert SlurmExecutor(Client(), site, ResourceRequest(Resources()))._shortest_s == 90.0


def test_many_failed_arrays_cost_one_query_of_accounting(tmp_path: Path, commands: Commands) -> None:
    plan, mine = generated(tmp_path)
    commands.configure(CONFIG.replace("none", "slurmdbd"))
    for number, batch in enumerate(mine.batches):
        scripts.add_job(batch.jobs_file, str(10 + number))
    assert set(states(tmp_path, plan)) == set(plan.stages)
    assert len(commands.calls("sacct")) == 1
    assert len([call for call in commands.calls("scontrol") if call != "show config"]) == len(mine.batches) <= 10
