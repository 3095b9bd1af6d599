"""SLURM jobs of an experiment: status of its stages, recording of outcomes, and cancellation."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.execution import planned_task
from setpoint.execution.slurm import Client, JobState, Tracker, settle
from setpoint.experiments.launch import write_actual
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import read_stage, read_status
from setpoint.experiments.slurm.scripts import helper_names
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Journal, StageFailed
from setpoint.records.plan import Plan
from setpoint.records.state import StageStatus, write_state


@dataclass(frozen=True, slots=True)
class StageReport:
    """State of a stage, from its files and from SLURM.

    Attributes:
        state: `finished`, `failed`, `running`, `queued`, `waiting` (for upstream stages), `blocked`, `planned`, `lost`
            or `unknown`.
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
    """Return a report on every stage of the plan. Read-only."""
    tracker = Tracker(client, _folder(workspace, plan))
    job_states = tracker.poll()
    return [_report(workspace, plan, name, job_states.get(name)) for name in plan.stages]


def collect(workspace: Workspace, plan: Plan, client: Client, *, lost_after_s: float = 30.0) -> dict[str, FailureClass]:
    """Record why jobs ended and link finished models; return stage -> failure class for new failures.

    Raises:
        InputError: a coordinator is running, which does this itself.
    """
    tracker = Tracker(client, _folder(workspace, plan), lost_after_s=lost_after_s)
    found: dict[str, FailureClass] = {}
    with lease(workspace.experiment(plan.experiment)) as token:
        journal = Journal(workspace.experiment(plan.experiment), token)
        for name, job_state in _ended(tracker, lost_after_s).items():
            failure_class = _settle(workspace, plan, name, job_state)
            if failure_class is not None:
                found[name] = failure_class
                journal.record(StageFailed(name, failure_class, job_state.job, retry=False))
        link_models(workspace, plan)
        write_actual(workspace, plan)
    write_state(workspace.experiment(plan.experiment), read_status(workspace, plan.experiment, check=True))
    return found


def cancel(workspace: Workspace, plan: Plan, client: Client) -> list[str]:
    """Cancel every job of the experiment and return the job ids.

    Raises:
        Unavailable: SLURM does not respond.
    """
    folder = _folder(workspace, plan)
    tracker = Tracker(client, folder)
    names = tracker.scripts() | helper_names(workspace, plan)
    live = {entry.array for entry in client.find(sorted(names), ended=False) if not entry.ended}
    live |= {state.job.partition("_")[0] for state in tracker.poll().values() if state.state in {"queued", "running"}}
    client.cancel(sorted(live))
    return sorted(live)


def _ended(tracker: Tracker, patience_s: float) -> Mapping[str, JobState]:
    """Return the states of all jobs that are over, after waiting briefly for jobs that SLURM does not know."""
    deadline_s = time.monotonic() + patience_s + 5.0
    while True:
        job_states = tracker.poll()
        if all(each.state != "unknown" for each in job_states.values()) or time.monotonic() > deadline_s:
            return {name: job_state for name, job_state in job_states.items() if job_state.over}
        time.sleep(1.0)


def _settle(workspace: Workspace, plan: Plan, name: str, job_state: JobState) -> FailureClass | None:
    """Return the failure class of a stage whose job has ended, if it was not recorded before."""
    stage = plan.stages.get(name)
    if stage is None:
        return None
    folder = workspace.stage(stage.kind, name)
    if read_stage(folder).status in {StageStatus.FINISHED, StageStatus.FAILED} or job_state.never_tried:
        return None
    outcome = settle(
        folder, job_state, planned_task(workspace, plan.stages, name, STAGES[stage.kind].target).stage_config()
    )
    return None if outcome is None or outcome.failure is None else outcome.failure.failure_class


ACTIONS: Mapping[str, str] = {
    "queued": "",
    "running": "",
    "finished": "",
    "planned": "`setpoint slurm submit {experiment}`, or `setpoint experiment resume {experiment} --on slurm`",
    "waiting": "",
    "blocked": "fix the upstream stage, then retry",
    "lost": "run `setpoint slurm collect {experiment}` to record the failure, then submit again",
    "unknown": "SLURM has not answered; check again later",
}
STUCK: Mapping[str, str] = {
    "JobHeldUser": "run `scontrol release {job}`",
    "JobHeldAdmin": "ask the administrator to release it",
    "requeued held": "it failed to start: ask the administrator to check slurmd's log, then `scontrol release {job}`",
    "PartitionTimeLimit": "time limit too long: `setpoint slurm cancel {experiment}`, then submit with a shorter one",
    "PerJobLimit": "request over the job limit: `setpoint slurm cancel {experiment}`, then lower --resource-limits",
}
"""Part of SLURM's reason for a job that will never start without intervention -> what to do."""


def _report(workspace: Workspace, plan: Plan, name: str, job_state: JobState | None) -> StageReport:
    stage = plan.stages[name]
    found = read_stage(workspace.stage(stage.kind, name))
    state = _state(workspace, plan, name, found.status, job_state)
    report = StageReport(stage=name, kind=stage.kind, state=state, **_in_slurm(job_state))
    if state != "failed" or found.failure is None:
        return replace(report, action=_action(plan, report))
    return replace(report, failure_class=found.failure.failure_class, action=found.failure.suggestion)


def _in_slurm(job_state: JobState | None) -> dict[str, str]:
    """Return the report fields that come from SLURM; empty if the stage has no job."""
    if job_state is None:
        return {}
    if job_state.seen is None:
        return {"job": job_state.job, "node": job_state.node}
    reason = "" if job_state.seen.reason == "None" else job_state.seen.reason
    return {"job": job_state.job, "node": job_state.node, "slurm_state": job_state.seen.state, "reason": reason}


def _state(workspace: Workspace, plan: Plan, name: str, status: StageStatus, job_state: JobState | None) -> str:
    """Derive the state of a stage from its files and its job."""
    if status is StageStatus.FINISHED:
        return "finished"
    if job_state is not None and job_state.state in {"queued", "running"}:
        return "waiting" if job_state.seen is not None and job_state.seen.reason == "Dependency" else job_state.state
    if status is StageStatus.FAILED:
        return "failed"
    if any(read_stage(workspace.stage(plan.stages[up].kind, up)).failure for up in plan.upstream(name)):
        return "blocked"
    if job_state is None or job_state.never_tried:
        return "planned"
    return "lost" if job_state.over else "unknown"


def _action(plan: Plan, report: StageReport) -> str:
    """Return what to do about a stage that has not failed; for a queued one, only if it will never start."""
    stuck = [remedy for sign, remedy in STUCK.items() if report.state == "queued" and sign in report.reason]
    return (stuck or [ACTIONS[report.state]])[0].format(experiment=plan.experiment, job=report.job)


def _folder(workspace: Workspace, plan: Plan) -> Path:
    return workspace.experiment(plan.experiment).absolute() / "slurm"
