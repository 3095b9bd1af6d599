"""The jobs of an experiment: how its stages are doing, the record of how they ended, and their cancellation."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.execution import planned_task
from setpoint.execution.slurm import Client, JobState, Tracker, settle
from setpoint.execution.slurm.script import read_jobs
from setpoint.experiments.launch import write_actual
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import read_stage, read_status
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Journal, StageFailed
from setpoint.records.plan import Plan
from setpoint.records.state import StageStatus, write_state


@dataclass(frozen=True, slots=True)
class StageReport:
    """A stage in the eyes of SLURM and of the disk.

    Attributes:
        state: finished, failed, running, queued, waiting (for others), planned, or lost.
    """

    stage: str
    kind: str
    state: str
    job: str = ""
    slurm_state: str = ""
    reason: str = ""
    node: str = ""
    failure_class: str = ""
    action: str = ""


def status(workspace: Workspace, plan: Plan, client: Client) -> list[StageReport]:
    """Every stage of the plan; it only reads."""
    tracker = Tracker(client, _folder(workspace, plan))
    fates = tracker.look()
    return [_report(workspace, plan, name, fates.get(name)) for name in plan.stages]


def collect(workspace: Workspace, plan: Plan, client: Client, *, lost_after_s: float = 30.0) -> dict[str, FailureClass]:
    """Keep on the disk why jobs ended, and link the models; stage -> failure class of what was new.

    Raises:
        InputError: a coordinator is at work, and does the same.
    """
    tracker = Tracker(client, _folder(workspace, plan), lost_after_s=lost_after_s)
    found: dict[str, FailureClass] = {}
    with lease(workspace.experiment(plan.experiment)) as token:
        journal = Journal(workspace.experiment(plan.experiment), token)
        for name, fate in _ended(tracker, lost_after_s).items():
            failure_class = _settle(workspace, plan, name, fate)
            if failure_class is not None:
                found[name] = failure_class
                journal.record(StageFailed(name, failure_class, fate.job, retry=False))
        link_models(workspace, plan)
        write_actual(workspace, plan)
    write_state(workspace.experiment(plan.experiment), read_status(workspace, plan.experiment, check=True))
    return found


def cancel(workspace: Workspace, plan: Plan, client: Client) -> list[str]:
    """End every job of the experiment; their ids.

    Raises:
        Unavailable: SLURM does not answer.
    """
    folder = _folder(workspace, plan)
    jobs = {job for path in folder.glob("*/*.jobs") for job in read_jobs(path)}
    jobs |= {place.array for place in Tracker(client, folder).places().values()}
    queued = client.queue(sorted(jobs), ended=False) if jobs else {}
    live = sorted({job.partition("_")[0] for job, seen in queued.items() if not seen.ended})
    client.cancel(live)
    return live


def _ended(tracker: Tracker, patience_s: float) -> Mapping[str, JobState]:
    """The fates of all jobs that are over; a job that nobody knows is looked for a little longer."""
    deadline_s = time.monotonic() + patience_s + 5.0
    while True:
        fates = tracker.look()
        if all(fate.state != "unknown" for fate in fates.values()) or time.monotonic() > deadline_s:
            return {name: fate for name, fate in fates.items() if fate.over}
        time.sleep(1.0)


def _settle(workspace: Workspace, plan: Plan, name: str, fate: JobState) -> FailureClass | None:
    """The failure class of a stage whose job has ended, where that was not known yet."""
    stage = plan.stages.get(name)
    if stage is None:
        return None
    folder = workspace.stage(stage.kind, name)
    if read_stage(folder).status in {StageStatus.FINISHED, StageStatus.FAILED} or fate.never_tried:
        return None
    outcome = settle(folder, fate, planned_task(workspace, plan.stages, name, STAGES[stage.kind].target).asked())
    return None if outcome is None or outcome.failure is None else outcome.failure.failure_class


ACTIONS: Mapping[str, str] = {
    "queued": "",
    "running": "",
    "finished": "",
    "planned": "`setpoint slurm submit {experiment}`, or `setpoint experiment resume {experiment} --on slurm`",
    "waiting": "",
    "blocked": "mend the stage that it needs, then retry",
    "lost": "`setpoint slurm collect {experiment}` records it, then submit again",
    "unknown": "SLURM does not answer, or not yet; look again",
}
STUCK: Mapping[str, str] = {
    "JobHeldUser": "let it go: `scontrol release {job}`",
    "JobHeldAdmin": "ask the administrator, who holds it",
    "requeued held": "it could not be started; see slurmd's log with the administrator, then `scontrol release {job}`",
    "PartitionTimeLimit": "the partition gives less time: `setpoint slurm cancel {experiment}`, then submit with less",
    "PerJobLimit": "the account gives one job less: `setpoint slurm cancel {experiment}`, then lower --resource-limits",
}
"""A part of SLURM's reason for which a job will never start by itself -> what to do."""


def _report(workspace: Workspace, plan: Plan, name: str, fate: JobState | None) -> StageReport:
    stage = plan.stages[name]
    found = read_stage(workspace.stage(stage.kind, name))
    state = _state(workspace, plan, name, found.status, fate)
    report = StageReport(stage=name, kind=stage.kind, state=state, **_in_slurm(fate))
    if state != "failed" or found.failure is None:
        return replace(report, action=_action(plan, report))
    return replace(report, failure_class=found.failure.failure_class, action=found.failure.suggestion)


def _in_slurm(fate: JobState | None) -> dict[str, str]:
    """What SLURM says about the job of a stage; nothing where it has none."""
    if fate is None:
        return {}
    if fate.seen is None:
        return {"job": fate.job, "node": fate.node}
    reason = "" if fate.seen.reason == "None" else fate.seen.reason
    return {"job": fate.job, "node": fate.node, "slurm_state": fate.seen.state, "reason": reason}


def _state(workspace: Workspace, plan: Plan, name: str, status: StageStatus, fate: JobState | None) -> str:
    """The state of a stage, from that of its files and that of its job."""
    if status is StageStatus.FINISHED:
        return "finished"
    if fate is not None and fate.state in {"queued", "running"}:
        return "waiting" if fate.seen is not None and fate.seen.reason == "Dependency" else fate.state
    if status is StageStatus.FAILED:
        return "failed"
    if any(read_stage(workspace.stage(plan.stages[up].kind, up)).failure for up in plan.upstream(name)):
        return "blocked"
    if fate is None or fate.never_tried:
        return "planned"
    return "lost" if fate.over else "unknown"


def _action(plan: Plan, report: StageReport) -> str:
    """What to do about a stage that has not failed; for a queued one, where it will never start by itself."""
    stuck = [words for sign, words in STUCK.items() if report.state == "queued" and sign in report.reason]
    return (stuck or [ACTIONS[report.state]])[0].format(experiment=plan.experiment, job=report.job)


def _folder(workspace: Workspace, plan: Plan) -> Path:
    return workspace.experiment(plan.experiment).absolute() / "slurm"
