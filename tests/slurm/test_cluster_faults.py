"""What goes wrong on a cluster, made to happen on a real one; each test shows the final state and what is done."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from lab import STUB, Experiment, Lab, show, until, wait_for

from setpoint.artifacts import read_json, read_lock
from setpoint.execution import Outcome
from setpoint.execution.slurm import Client

pytestmark = pytest.mark.slow


def failure_class(outcome: Outcome) -> str | None:
    return None if outcome.failure is None else outcome.failure.failure_class


def later(seconds: float, action: object, *arguments: object) -> threading.Thread:
    assert callable(action)
    thread = threading.Timer(seconds, action, arguments)
    thread.start()
    return thread


def test_jobs_that_end_in_every_ordinary_way(lab: Lab, experiment: Experiment) -> None:
    experiment.add("good", do="write")
    experiment.add("result", do="diverge")
    experiment.add("killed", do="kill_script")
    experiment.add("cancelled", do="sleep", seconds=100)
    experiment.add("absent", do="write", kind="grpo")
    experiment.add("inactive", do="write", kind="grpo")

    def cancel() -> None:
        start = until_started(experiment, "cancelled")
        lab.call("scancel", start)

    thread = threading.Thread(target=cancel)
    thread.start()
    found = experiment.run("good", "result", "killed", "cancelled")
    thread.join()
    found |= experiment.run("absent", command=("no-such-program",))
    found |= experiment.run("inactive", venv="/nowhere")
    classes = {name: failure_class(outcome) for name, outcome in found.items()}
    show(
        **{
            name: f"{classes[name]} -> {o.failure.suggestion if o.failure else 'nothing to do'}"
            for name, o in found.items()
        }
    )
    assert classes == {
        "good": None,
        "result": "diverged",
        "killed": "lost",
        "cancelled": "cancelled",
        "absent": "config",
        "inactive": "config",
    }


def until_started(experiment: Experiment, stage: str) -> str:
    """The job of a stage, once its worker has claimed it."""
    until(lambda: experiment.folder(stage).latest_attempt() is not None)
    attempt = experiment.folder(stage).latest_attempt()
    assert attempt is not None
    lock = read_lock(attempt.lock)
    assert lock is not None
    return lock.job.partition("/")[0]


def test_the_time_limit_ends_one_stage_and_sends_another_back_to_the_queue(lab: Lab, experiment: Experiment) -> None:
    experiment.add("deaf", do="sleep", seconds=300)
    experiment.add("saving", do="count", steps=300)
    executor = experiment.executor(resources="mem:100MB,time:1", signal_s=45)
    found = wait_for(executor, [experiment.task("deaf"), experiment.task("saving")])
    record = found["deaf"].failure
    assert record is not None
    show(deaf=f"{record.evidence['slurm_state']} -> {record.suggestion}", saving=experiment.failures("saving"))
    assert failure_class(found["deaf"]) == "timeout"
    assert found["saving"].state == "finished"
    assert set(experiment.failures("saving")) == {"preempted"}
    assert len(experiment.folder("saving").attempts()) >= 2
    assert executor._needs(experiment.task("deaf"))[0].time_min == 2


def test_memory_runs_out_in_three_forms(every_lab: Lab, experiment: Experiment) -> None:
    """In the script and in a step of it under cgroups, and where SLURM itself looks how much is used."""
    experiment.add("batch", do="fill_memory")
    experiment.add("step", do="fill_memory")
    found = experiment.run("batch")
    if every_lab.cgroups:
        found |= experiment.run("step", command=("srun", *STUB))
    for name, outcome in found.items():
        assert outcome.failure is not None
        evidence = outcome.failure.evidence
        show(form=name, slurm=f"{evidence['slurm_state']} {evidence['slurm_exit_code']}", state=failure_class(outcome))
        assert failure_class(outcome) == "host_oom"
    again = experiment.executor()._needs(experiment.task("batch"))[0]
    show(action=f"asks for {again.mem_mb} MB after 100 MB")
    assert again.mem_mb == 150


def test_a_stage_that_ran_out_of_memory_gets_more(lab: Lab, experiment: Experiment) -> None:
    experiment.add("stage", do="fill_memory", megabytes=96, seconds=12)
    first, second = (experiment.run("stage")["stage"] for _ in range(2))
    scripts = sorted(
        (experiment.root / "experiments/faults/slurm").glob("*/*.json"), key=lambda path: path.stat().st_mtime
    )
    asked = [read_json(path)["resources"]["mem_mb"] for path in scripts]
    show(first=failure_class(first), second=second.state, asked_mb=asked)
    assert (failure_class(first), second.state) == ("host_oom", "finished")
    assert asked == [100, 150]


def test_tasks_that_were_cancelled_before_they_began(lab: Lab, experiment: Experiment) -> None:
    """SLURM keeps no record of them; the list of those that still wait has many gaps, and is long."""
    stages = [f"s{number:02d}" for number in range(48 if lab.accounting else 10)]
    for name in stages:
        experiment.add(name, do="write")
    executor = experiment.executor(options={"hold": ""})
    waiting = {name: executor.submit(experiment.task(name)) for name in stages}
    until(lambda: waiting["s00"].wait(0) is None and len(executor._tracker._last_queue) == len(stages))
    (job,) = next(executor._folder.glob("*.jobs")).read_text().split()
    lab.call("scancel", *(f"{job}_{number}" for number in range(0, len(stages), 3)))
    lab.call("scontrol", "release", job)
    found = wait_for(executor, [experiment.task(name) for name in stages])
    states = [failure_class(found[name]) or found[name].state for name in stages]
    show(cancelled=states.count("cancelled"), finished=states.count("finished"))
    assert states == ["finished" if number % 3 else "cancelled" for number in range(len(stages))]
    assert all(len(experiment.folder(name).attempts()) == 1 for name in stages)


@pytest.mark.parametrize("requeue", [True, False])
def test_a_node_fails(lab: Lab, experiment: Experiment, requeue: bool) -> None:
    """With requeue, the worker on the lost node goes on: two compute the same stage, and only the newer publishes."""
    experiment.add("stage", do="count", steps=400 if requeue else 50)
    executor = experiment.executor(requeue=requeue)
    failed = {}

    def fail() -> None:
        until_started(experiment, "stage")
        failed["node"] = lab.call("squeue", "-h", "-t", "R", "-o", "%N")
        lab.kill_node(failed["node"], workers=not requeue)

    thread = threading.Thread(target=fail)
    thread.start()
    try:
        outcome = wait_for(executor, [experiment.task("stage")])["stage"]
        thread.join()
        show(node=failed["node"], requeue=requeue, state=outcome.state, failures=experiment.failures("stage"))
        if requeue:
            manifest = experiment.folder("stage").read_manifest()
            assert manifest is not None
            assert (outcome.state, manifest.attempt) == ("finished", 2)
            return
        assert failure_class(outcome) == "node_failure"
        assert executor._needs(experiment.task("stage"))[1] == (failed["node"],)
        assert wait_for(executor, [experiment.task("stage")])["stage"].state == "finished"
    finally:
        lab.up()


def test_preemption_continues_from_the_checkpoint(lab: Lab, experiment: Experiment) -> None:
    experiment.add("stage", do="count", steps=60)
    executor = experiment.executor(partition="scavenge", options={"nodelist": lab.node, "exclusive": ""})

    def preempt() -> None:
        until_started(experiment, "stage")
        (attempt,) = experiment.folder("stage").attempts()
        until(lambda: attempt.metrics.exists() and attempt.metrics.read_text().count("step") >= 10)
        lab.call("sbatch", "-p", "urgent", "-w", lab.node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")

    thread = threading.Thread(target=preempt)
    thread.start()
    outcome = wait_for(executor, [experiment.task("stage")])["stage"]
    thread.join()
    attempts = experiment.folder("stage").attempts()
    steps = [path.read_text().count("step") for path in (attempt.metrics for attempt in attempts)]
    show(state=outcome.state, failures=experiment.failures("stage"), steps_of_attempts=steps)
    assert outcome.state == "finished"
    assert len(attempts) == 2
    assert sum(steps) in {60, 61}  # the step that was cut off is made again


def test_a_missing_output_directory(lab: Lab, experiment: Experiment) -> None:
    experiment.add("stage", do="write")
    executor = experiment.executor(options={"begin": "now+10"})
    job = executor.submit(experiment.task("stage"))
    until(lambda: job.wait(0) is None and list(executor._folder.glob("*.jobs")))
    shutil.rmtree(executor._folder / "logs")
    outcome = job.wait(120)
    assert outcome is not None
    show(state=failure_class(outcome), message=outcome.failure and outcome.failure.message)
    assert failure_class(outcome) == "transient"
    assert wait_for(executor, [experiment.task("stage")])["stage"].state == "finished"


def test_the_controller_is_down_for_half_a_minute(lab: Lab, experiment: Experiment) -> None:
    stages = [f"stage{number}" for number in range(4)]
    for number, name in enumerate(stages):
        experiment.add(name, do="count", steps=10 + 60 * number)

    def fail() -> None:
        for name in stages:
            until_started(experiment, name)
        lab.kill("slurmctld", signal.SIGTERM)
        time.sleep(30)
        lab.up()

    thread = threading.Thread(target=fail)
    thread.start()
    found = wait_for(experiment.executor(), [experiment.task(name) for name in stages])
    thread.join()
    show(states=[outcome.state for outcome in found.values()], failures=[experiment.failures(name) for name in stages])
    assert {outcome.state for outcome in found.values()} == {"finished"}
    assert not any(map(experiment.failures, stages))


def test_a_submission_while_the_controller_is_down_waits(lab: Lab, experiment: Experiment) -> None:
    experiment.add("stage", do="write")
    lab.kill("slurmctld")
    back = later(12, lab.up)
    outcome = wait_for(experiment.executor(), [experiment.task("stage")])["stage"]
    back.join()
    show(state=outcome.state, attempts=len(experiment.folder("stage").attempts()))
    assert outcome.state == "finished"


def test_the_accounting_daemon_is_down(accounting_lab: Lab, experiment: Experiment) -> None:
    experiment.add("good", do="write")
    experiment.add("deaf", do="fill_memory")
    accounting_lab.kill("slurmdbd")
    try:
        found = experiment.run("good", "deaf")
    finally:
        accounting_lab.up()
    show(good=found["good"].state, memory=failure_class(found["deaf"]))
    assert found["good"].state == "finished"
    assert failure_class(found["deaf"]) == "host_oom"


def test_an_array_larger_than_the_cluster_takes(bare_lab: Lab, experiment: Experiment) -> None:
    stages = [f"s{number}" for number in range(25)]
    for name in stages:
        experiment.add(name, do="write")
    found = experiment.run(*stages)
    scripts = sorted((experiment.root / "experiments" / "faults" / "slurm").glob("*/*.sbatch"))
    show(limit=Client().limits.max_array_size, arrays=len(scripts), states={o.state for o in found.values()})
    assert len(scripts) == 3
    assert {outcome.state for outcome in found.values()} == {"finished"}


def test_jobs_that_were_purged_before_they_were_seen(lab: Lab, experiment: Experiment) -> None:
    """Accounting, where there is some, still knows why they ended."""
    experiment.add("good", do="write")
    experiment.add("killed", do="kill_script")
    executor = experiment.executor()
    with lab.configured(MIN_JOB_AGE="5"):
        jobs = {name: executor.submit(experiment.task(name)) for name in ("good", "killed")}
        until(lambda: jobs["good"].wait(0) is None and list(executor._folder.glob("*.jobs")), 60)
        (job,) = next(executor._folder.glob("*.jobs")).read_text().split()
        until(lambda: not lab.queue(job), 300)
        fresh = experiment.executor()
        found = wait_for(fresh, [experiment.task(name) for name in jobs])
    failure = found["killed"].failure
    assert failure is not None
    evidence = failure.evidence
    show(good=found["good"].state, killed=failure_class(found["killed"]), slurm=evidence["slurm_state"])
    assert found["good"].state == "finished"
    assert failure_class(found["killed"]) == "lost"
    assert evidence["slurm_state"] == ("FAILED" if lab.accounting else None)


@pytest.mark.parametrize(
    ("entity", "limit"), [("user root", "MaxSubmitJobs"), ("qos normal", "MaxSubmitJobsPerUser")], ids=["user", "qos"]
)
def test_a_limit_of_five_jobs_and_forty_stages(
    accounting_lab: Lab, experiment: Experiment, entity: str, limit: str
) -> None:
    """The limit of a user can be read beforehand; that of a quality of service shows in SLURM's refusals."""
    modify = ["sacctmgr", "-i", "modify", *entity.split(), "set"]
    accounting_lab.call(*modify, f"{limit}=5")
    try:
        forty_stages_with_five_at_once(accounting_lab, experiment)
    finally:
        accounting_lab.call(*modify, f"{limit}=-1")


def test_a_limit_that_the_profile_tells(bare_lab: Lab, experiment: Experiment) -> None:
    forty_stages_with_five_at_once(bare_lab, experiment, submit_limit=5)


def forty_stages_with_five_at_once(lab: Lab, experiment: Experiment, **profile: int) -> None:
    stages = [f"s{number}" for number in range(40)]
    for name in stages:
        experiment.add(name, do="write")
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            seen.append(len(lab.call("squeue", "-r", "-h").splitlines()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = experiment.run(*stages, timeout_s=900, **profile)
    finally:
        stop.set()
        watcher.join()
    show(most_at_once=max(seen), states={outcome.state for outcome in found.values()})
    assert {outcome.state for outcome in found.values()} == {"finished"}
    assert 1 <= max(seen) <= 5


def test_paths_and_values_are_only_text(lab: Lab, tmp_path: Path) -> None:
    odd = "a b'c\"d$(touch pwned)`touch pwned`;e\\f%j\ng"
    strange = Experiment(tmp_path / odd)
    for name in ("one", "two"):
        strange.add(name, do="write", value=odd)
    found = strange.run("one", "two")
    published = strange.folder("one").path / "value.txt"
    show(states=[outcome.state for outcome in found.values()], value=published.read_text()[:40])
    assert {outcome.state for outcome in found.values()} == {"finished"}
    assert repr(odd) in published.read_text()
    assert list(tmp_path.rglob("pwned")) == []


def test_a_coordinator_that_died_is_followed_by_one_that_adopts_its_jobs(lab: Lab, experiment: Experiment) -> None:
    stages = [f"s{number}" for number in range(4)]
    for name in stages:
        experiment.add(name, do="count", steps=60)
    code = (
        "import sys; from pathlib import Path; from lab import Experiment, wait_for\n"
        "import json; root = Path(sys.argv[1]); e = Experiment(root)\n"
        "e.stages = json.loads((root / 'experiments/faults/plan.json').read_text())['stages']\n"
        "wait_for(e.executor(), [e.task(name) for name in e.stages])\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code, str(experiment.root)], cwd=Path(__file__).parent)
    until_started(experiment, "s0")
    first.kill()
    first.wait()
    found = wait_for(experiment.executor(), [experiment.task(name) for name in stages])
    attempts = [len(experiment.folder(name).attempts()) for name in stages]
    scripts = list((experiment.root / "experiments/faults/slurm").glob("*/*.sbatch"))
    show(states={outcome.state for outcome in found.values()}, attempts=attempts, scripts=len(scripts))
    assert {outcome.state for outcome in found.values()} == {"finished"}
    assert attempts == [1, 1, 1, 1]
    assert len(scripts) == 1
