"""Whole experiments on a real cluster: by hand, handed in by the command line, and under a coordinator."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import HERE, STUB, Lab, frozen_path, show, until

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.execution import LocalExecutor
from setpoint.execution.slurm import Client, Profile, Refused, Resources
from setpoint.experiments import launch
from setpoint.experiments.planning.spec import planned_spec
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.request import Request
from setpoint.experiments.running.status import read_status
from setpoint.experiments.slurm import jobs, scripts
from setpoint.records.journal import EventKind, read_events
from setpoint.records.plan import Plan
from support.sweeps import BASE, make_plan, save_plan

pytestmark = pytest.mark.slow

TARGETS = dict.fromkeys(STAGES, "stub:act")


def cluster(resources: str = "mem:100MB,time:5", **profile: object) -> scripts.Cluster:
    """The cluster, with the stand-in as the command line of its nodes."""
    path = ":".join([str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    fields = {"environment": {"PYTHONPATH": path}, **profile}
    return scripts.Cluster(Profile.model_validate(fields), Resources.parse(resources), STUB)


def planned(root: Path) -> Plan:
    plan = make_plan()
    save_plan(root, plan)
    return plan


def results(root: Path) -> dict[str, str]:
    """Stage -> what it published."""
    return {path.parent.name: path.read_text() for path in root.glob("stages/*/*/value.txt")}


def run(root: Path, plan: Plan, **options: object) -> str:
    request = Request(Workspace(root), plan.experiment, planned_spec(plan), BASE, None)
    return launch.run(launch.Preparation(request, plan, {}, ()), launch.Options(targets=TARGETS, **options)).state  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the experiment publishes when it runs on this machine."""
    root = tmp_path_factory.mktemp("local")
    assert run(root, planned(root), executor=LocalExecutor(preload=["stub"])) == "finished"
    return results(root)


def collected(root: Path) -> bool:
    return (root / "experiments" / "sweep" / "reports" / "report.txt").exists()


def test_scripts_submitted_by_hand_give_what_the_local_run_gives(
    lab: Lab, tmp_path: Path, local: dict[str, str]
) -> None:
    plan = planned(tmp_path)
    generated = scripts.generate(Workspace(tmp_path), plan, cluster(), Client().limits)
    assert (generated.folder / "record.sbatch").exists() == (not lab.accounting)
    done = subprocess.run([str(generated.submit)], capture_output=True, text=True, cwd="/", check=True)
    print(done.stderr)
    until(lambda: collected(tmp_path), 240)
    status = read_status(Workspace(tmp_path), "sweep")
    show(scripts=len(generated.batches), runs=status.counts, stages=len(results(tmp_path)))
    assert status.counts == {"ok": 2}
    assert results(tmp_path) == local


def test_plain_sbatch_one_script_after_the_other(lab: Lab, tmp_path: Path, local: dict[str, str]) -> None:
    plan = planned(tmp_path)
    generated = scripts.generate(Workspace(tmp_path), plan, cluster(), Client().limits)
    for batch in generated.batches:
        subprocess.run(["sbatch", "--wait", str(batch.script)], check=True, cwd="/", capture_output=True, timeout=120)
    reports = jobs.status(Workspace(tmp_path), plan, Client())
    show(states={report.state for report in reports}, jobs=sorted({report.job.partition("_")[0] for report in reports}))
    assert {report.state for report in reports} == {"finished"}
    assert results(tmp_path) == local


def test_by_hand_in_a_folder_with_an_odd_name(lab: Lab, tmp_path: Path, local: dict[str, str]) -> None:
    root = tmp_path / "a b'c\"d$(touch pwned)`touch pwned`;e\\f%j\ng"
    plan = planned(root)
    generated = scripts.generate(Workspace(root), plan, cluster(environment={"ODD": root.name}), Client().limits)
    subprocess.run([str(generated.submit)], capture_output=True, cwd=tmp_path, check=True)
    until(lambda: collected(root), 240)
    show(folder=repr(root.name), runs=read_status(Workspace(root), "sweep").counts)
    assert results(root) == local
    assert list(tmp_path.rglob("pwned")) == []


def test_a_failed_stage_stops_only_what_needs_it(lab: Lab, tmp_path: Path) -> None:
    plan = planned(tmp_path)
    (tmp_path / "fail-sft").write_text('"rank": 8')
    generated = scripts.generate(Workspace(tmp_path), plan, cluster(), Client().limits)
    scripts.submit(generated, Client())
    until(lambda: collected(tmp_path), 240)
    status = read_status(Workspace(tmp_path), "sweep")
    reports = jobs.status(Workspace(tmp_path), plan, Client())
    for report in reports:
        show(kind=report.kind, state=report.state, slurm=report.slurm_state, action=report.action or "nothing to do")
    assert status.counts == {"ok": 1, "failed": 1}
    assert sorted(report.state for report in reports) == ["blocked"] * 3 + ["failed"] + ["finished"] * 6
    (tmp_path / "fail-sft").unlink()
    workspace = Workspace(tmp_path)
    executor = scripts.executor(workspace, plan, cluster(), Client())
    assert run(tmp_path, plan, executor=executor, workers=100, drain=False, retry=lambda _: True) == "finished"
    assert read_status(workspace, "sweep").counts == {"ok": 2}


def start_coordinator(root: Path) -> "subprocess.Popen[str]":
    """A coordinator in a process of its own, for the plan that is there."""
    code = (
        "import sys; from pathlib import Path; import test_experiment as tests\n"
        "from setpoint.artifacts import Workspace; from setpoint.execution.slurm import Client\n"
        "from setpoint.records.plan import read_plan\n"
        "workspace = Workspace(Path(sys.argv[1])); plan = read_plan(workspace.experiment('sweep'))\n"
        "executor = tests.scripts.executor(workspace, plan, tests.cluster(), Client())\n"
        "print(tests.run(workspace.root, plan, executor=executor, workers=100, drain=False))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(root)], cwd=HERE, stdout=subprocess.PIPE, text=True)


def test_a_coordinator_that_is_killed_again_and_again(lab: Lab, tmp_path: Path, local: dict[str, str]) -> None:
    planned(tmp_path)
    journals = tmp_path / "experiments" / "sweep" / "journal"
    for kills, number in enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL], start=1):
        process = start_coordinator(tmp_path)
        until(lambda wanted=kills: len(list(journals.glob("*"))) >= wanted, 120)
        time.sleep(2 + kills)
        process.send_signal(number)
        process.wait()
    process = start_coordinator(tmp_path)
    out, _ = process.communicate(timeout=240)
    workspace = Workspace(tmp_path)
    attempts = [len(workspace.stage(stage.kind, name).attempts()) for name, stage in make_plan().stages.items()]
    show(kills=3, state=out.strip(), attempts_of_stages=attempts)
    assert out.strip() == "finished"
    assert results(tmp_path) == local
    assert set(attempts) == {1}


def test_requests_that_the_cluster_refuses(lab: Lab, tmp_path: Path) -> None:
    plan = planned(tmp_path)
    workspace = Workspace(tmp_path)
    for limits, profile, words in (
        ("mem:900GB,time:5", {}, "Requested node configuration is not available.*40000M"),
        ("gpu:3,mem:100MB,time:5", {}, "Requested node configuration is not available.*gpu:2"),
        ("mem:100MB,time:5", {"partition": "mian"}, "nvalid partition.*Did you mean 'main'"),
    ):
        generated = scripts.generate(workspace, plan, cluster(limits, **profile), Client().limits)
        with pytest.raises(Refused, match=words) as refused:
            scripts.submit(generated, Client())
        show(request=limits, profile=profile, message=refused.value)
        assert Client().find([batch.name for batch in generated.batches]) == {} or not list(
            generated.folder.glob("*.jobs")
        )
    executor = scripts.executor(workspace, plan, cluster("mem:900GB,time:5"), Client())
    with pytest.raises(Refused, match="Lower --resource-limits"):
        run(tmp_path, plan, executor=executor, workers=100, drain=False)


def test_submit_sh_takes_everything_back_when_one_script_is_refused(lab: Lab, tmp_path: Path) -> None:
    plan = planned(tmp_path)
    workspace = Workspace(tmp_path)
    generated = scripts.generate(workspace, plan, cluster(options={"begin": "now+1hour"}), Client().limits)
    refused = next(batch for batch in generated.batches if batch.kind == "grpo").script
    refused.write_text(refused.read_text().replace("--mem=100M", "--mem=900000M"))
    done = subprocess.run([str(generated.submit)], capture_output=True, text=True, cwd="/", check=False)
    print(done.stderr)
    reports = jobs.status(workspace, plan, Client())
    show(code=done.returncode, states={report.state for report in reports}, action=reports[0].action)
    assert done.returncode == 1
    assert "Requested node configuration is not available" in done.stderr
    assert lab.call("squeue", "-h", "-n", ",".join(batch.name for batch in generated.batches)) == ""
    assert {report.state for report in reports} == {"planned"}


def test_a_time_that_the_account_does_not_give(accounting_lab: Lab, tmp_path: Path) -> None:
    """SLURM's sentence is that of too many jobs: it is refused for good, and nobody waits for room."""
    plan = planned(tmp_path)
    workspace = Workspace(tmp_path)
    modify = ["sacctmgr", "-i", "modify", "qos", "normal", "set"]
    accounting_lab.call(*modify, "Flags=DenyOnLimit", "MaxWall=1")
    try:
        generated = scripts.generate(workspace, plan, cluster(), Client().limits)
        with pytest.raises(Refused, match=r"QOSMaxWallDurationPerJobLimit.*Asked for time=0-00:05:00") as refused:
            scripts.submit(generated, Client())
        executor = scripts.executor(workspace, plan, cluster(), Client())
        with pytest.raises(Refused, match="QOSMaxWallDurationPerJobLimit"):
            run(tmp_path, plan, executor=executor, workers=100, drain=False)
        show(denied=refused.value)
        accounting_lab.call(*modify, "Flags-=DenyOnLimit")
        scripts.submit(generated, Client())
        until(lambda: any("PerJobLimit" in report.reason for report in jobs.status(workspace, plan, Client())))
        stuck = next(report for report in jobs.status(workspace, plan, Client()) if "PerJobLimit" in report.reason)
        show(state=stuck.state, reason=stuck.reason, action=stuck.action)
        assert stuck.state == "queued"
        assert "lower --resource-limits" in stuck.action
    finally:
        accounting_lab.call(*modify, "Flags-=DenyOnLimit", "MaxWall=-1")
        jobs.cancel(workspace, plan, Client())


def test_scripts_of_more_stages_than_an_array_may_have(bare_lab: Lab, tmp_path: Path) -> None:
    plan = make_plan(systems="di", parameters={"learning_rate": [number * 1e-5 for number in range(1, 14)]})
    save_plan(tmp_path, plan)
    limits = Client().limits
    generated = scripts.generate(Workspace(tmp_path), plan, cluster(), limits)
    sizes = [len(batch.stages) for batch in generated.batches if batch.kind == "sft"]
    subprocess.run([str(generated.submit)], capture_output=True, cwd="/", check=True)
    until(lambda: collected(tmp_path), 600)
    show(limit=limits.max_array_size, sizes=sizes, runs=read_status(Workspace(tmp_path), "sweep").counts)
    assert sizes == [11, 2]
    assert read_status(Workspace(tmp_path), "sweep").counts == {"ok": 13}


def test_without_slurm_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--systems", "di", "--parameters", "lora_rank:4,8", "--workspace", str(tmp_path)]
    with frozen_path("/nowhere"):
        assert main(["slurm", "generate", *options, "--submit-batch"]) == 3
        assert main(["experiment", "run", *options, "--on", "slurm"]) == 3
    message = capsys.readouterr().err
    show(message=message)
    assert message.count("there is no `sbatch` on this machine") == 2
    assert list(tmp_path.iterdir()) == []


def test_cancel_ends_every_job(lab: Lab, tmp_path: Path) -> None:
    plan = planned(tmp_path)
    generated = scripts.generate(Workspace(tmp_path), plan, cluster(options={"hold": ""}), Client().limits)
    scripts.submit(generated, Client())
    held = [report for report in jobs.status(Workspace(tmp_path), plan, Client()) if report.reason == "JobHeldUser"]
    assert held
    assert {report.action for report in held} == {f"run `scontrol release {report.job}`" for report in held}
    ended = jobs.cancel(Workspace(tmp_path), plan, Client())
    show(cancelled=len(ended))
    assert len(ended) >= len(generated.batches)
    assert jobs.cancel(Workspace(tmp_path), plan, Client()) == []


def published(root: Path) -> dict[str, object]:
    """Stage -> digests of its files."""
    return {
        path.parent.name: {name: file["sha256"] for name, file in json.loads(path.read_text())["files"].items()}
        for path in root.glob("stages/*/*/manifest.json")
    }


CONTRACT = ["--experiment-config", "experiments/config.yaml", "--resource-limits", "gpu:1,mem:32GB,time:24:00:00"]
SMALL = """
systems: [double_integrator]
parameters: {lora_rank: [2, 4]}
evaluation_cases: 5
fixed: {sft.steps: 6, grpo.steps: 2}
"""


def generate(place: Path, *options: str) -> Path:
    """Give the contract's command in `place`; the folder of the experiment."""
    script = HERE.parents[1] / "scripts" / "generate_slurm_experiments.py"
    (place / "experiments").mkdir(parents=True, exist_ok=True)
    (place / "experiments" / "config.yaml").write_text(SMALL)
    done = subprocess.run(
        [sys.executable, str(script), *CONTRACT, *options], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    (plan,) = place.glob("experiments/*/plan.json")
    return plan.parent


def test_the_contracts_command_trains_what_the_local_run_trains(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The built-in base: from sbatch to report, by hand, by a coordinator that is a job, locally: the same files."""
    places = {name: tmp_path / name for name in ("batch", "hand", "job", "local")}
    found = {"batch": generate(places["batch"], "--submit-batch")}
    for name in ("hand", "job", "local"):
        shutil.copytree(places["batch"] / "datasets", places[name] / "datasets")
    found |= {name: generate(places[name]) for name in ("hand", "job")}
    (coordinate,) = found["job"].glob("slurm/scripts1/coordinate.sbatch")
    until((found["batch"] / "reports" / "report.txt").exists, 1200)
    # By hand: each script in its turn, with nothing but sbatch. The coordinator's job: with too little time.
    subprocess.run(["sbatch", "--time=2", "--signal=B:USR1@75", str(coordinate)], check=True, cwd="/")
    for batch in scripts_in_order(found["hand"]):
        subprocess.run(["sbatch", "--wait", str(batch)], check=True, cwd="/", timeout=1800)
    until((found["job"] / "reports" / "report.txt").exists, 1200)

    experiment = found["batch"].name
    local = ["--spec", str(places["batch"] / "experiments" / "config.yaml"), "--experiment-id", experiment, "--quiet"]
    assert main(["experiment", "run", *local, "--workspace", str(places["local"])]) == 0
    files = {name: published(place) for name, place in places.items()}
    starts = list(read_events(found["job"], EventKind.STARTED))
    show(stages=len(files["local"]), starts_of_the_coordinator=len(starts))
    assert len(starts) >= 2
    assert "Successful Runs: 2" in (found["batch"] / "reports" / "report.txt").read_text()
    assert files["batch"] == files["hand"] == files["job"] == files["local"]

    capsys.readouterr()
    of = [experiment, "--workspace", str(places["hand"])]
    assert main(["slurm", "status", *of, "--json"]) == 0
    assert {report["state"] for report in json.loads(capsys.readouterr().out)} == {"finished"}
    assert main(["slurm", "collect", *of]) == 0
    assert "Successful Runs: 2" in capsys.readouterr().out
    assert main(["slurm", "generate", *local, "--workspace", str(places["hand"])]) == 3
    assert "is finished already" in capsys.readouterr().err
    assert main(["slurm", "cancel", *of]) == 0
    assert "no jobs in the queue" in capsys.readouterr().out


def scripts_in_order(experiment: Path) -> list[Path]:
    """The scripts of stages, in the order in which `submit.sh` hands them in."""
    folder = experiment / "slurm" / "scripts1"
    text = (folder / "submit.sh").read_text()
    return sorted(
        (path for path in folder.glob("*.sbatch") if path.with_suffix(".json").exists()),
        key=lambda path: text.index(f"submit {path.stem}"),
    )


def two_stages(root: Path, **config: object) -> tuple[Plan, scripts.GeneratedScripts]:
    """The scripts of an experiment that waits in the queue."""
    plan = planned(root)
    return plan, scripts.generate(Workspace(root), plan, cluster(**config), Client().limits)  # type: ignore[arg-type]


def test_the_same_experiment_in_two_workspaces(bare_lab: Lab, tmp_path: Path) -> None:
    """The jobs of one are neither shown nor cancelled by the other, and no job is shared with a copy."""
    first_plan, first = two_stages(tmp_path / "first", options={"hold": ""})
    second_plan, _ = two_stages(tmp_path / "second", options={"hold": ""})
    scripts.submit(first, Client())
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    try:
        for name, plan in (("second", second_plan), ("copy", first_plan)):
            reports = jobs.status(Workspace(tmp_path / name), plan, Client())
            assert {(report.state, report.job) for report in reports} == {("planned", "")}
            assert jobs.cancel(Workspace(tmp_path / name), plan, Client()) == []
        reports = jobs.status(Workspace(tmp_path / "first"), first_plan, Client())
        show(first={report.state for report in reports})
        assert {report.state for report in reports} <= {"queued", "waiting"}
    finally:
        assert len(jobs.cancel(Workspace(tmp_path / "first"), first_plan, Client())) >= len(first.batches)


def test_a_part_of_a_script_by_hand(bare_lab: Lab, tmp_path: Path) -> None:
    """`sbatch --array=0` of a script with several stages, then `--array=1`: what was not submitted is planned."""
    plan, generated = two_stages(tmp_path)
    batch = max((each for each in generated.batches if not each.after), key=lambda each: len(each.stages))
    for index in range(2):
        subprocess.run(["sbatch", "--wait", f"--array={index}", str(batch.script)], check=True, cwd="/", timeout=120)
        states = {report.stage: report.state for report in jobs.status(Workspace(tmp_path), plan, Client())}
        assert [states[stage] for stage in batch.stages[: index + 1]] == ["finished"] * (index + 1)
        assert {states[stage] for stage in batch.stages[index + 1 :]} <= {"planned"}
    show(states=states)
