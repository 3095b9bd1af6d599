"""SLURM jobs of an experiment: status of its stages, recording of outcomes, and cancellation."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.artifacts import StageFolder, Workspace
from setpoint.execution import planned_task
from setpoint.execution.slurm import Client, JobState, Tracker, settle
from setpoint.execution.slurm.holders import free_stages
from setpoint.execution.slurm.tracking import GRACE_S, awaits_files
from setpoint.experiments.launch import write_actual
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.running.commands import command
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
    commands = _commands(workspace, plan)
    return [_report(workspace, plan, name, job_states.get(name), commands) for name in plan.stages]


def collect(
    workspace: Workspace,
    plan: Plan,
    client: Client,
    *,
    lost_after_s: float = 30.0,
    grace_s: float = GRACE_S,
    take_over: bool = False,
) -> dict[str, FailureClass]:
    """Record why jobs ended and link finished models; return stage -> failure class for new failures.

    Args:
        lost_after_s: time after which a job that no source knows counts as lost, in s.
        grace_s: time that files of a job that has ended may take to appear here, in s.
        take_over: whether to take the experiment from a coordinator on another host; see `lease`.

    Raises:
        InputError: a coordinator is running, which does this itself.
    """
    tracker = Tracker(client, _folder(workspace, plan), lost_after_s=lost_after_s)
    folders = {name: workspace.stage(stage.kind, name) for name, stage in plan.stages.items()}
    with lease(workspace.experiment(plan.experiment), take_over=take_over) as token:
        journal = Journal(workspace.experiment(plan.experiment), token)
        ended = _ended(tracker, folders, lost_after_s + 5.0, grace_s)
        found = free_stages(folders.values(), client)
        for name, job_state in ended.items():
            failure_class = _settle(workspace, plan, name, job_state)
            if failure_class is not None:
                found[name] = failure_class
        for name, failure_class in found.items():
            job = ended[name].job if name in ended else "of its claim"
            journal.record(StageFailed(name, failure_class, job, retry=False))
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


def _ended(
    tracker: Tracker, folders: Mapping[str, StageFolder], patience_s: float, grace_s: float
) -> Mapping[str, JobState]:
    """Return the states of all jobs that are over.

    Waits up to `patience_s` for jobs that SLURM does not know, and up to `grace_s` for files of jobs that have ended.
    """
    began_s = time.monotonic()
    while True:
        job_states = tracker.poll()
        waited_s = time.monotonic() - began_s
        unknown = any(each.state == "unknown" for each in job_states.values())
        late = waited_s < grace_s and any(
            awaits_files(folders[name], each) for name, each in job_states.items() if name in folders
        )
        if not late and (not unknown or waited_s > patience_s):
            return {name: job_state for name, job_state in job_states.items() if job_state.over}
        time.sleep(min(5.0, max(0.1, patience_s / 10.0)))


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
    "planned": "run `{submit}`",
    "blocked": "fix the upstream stage, then run `{retry}`",
    "lost": "run `{collect}` to record the failure, then `{retry}`",
    "unknown": "SLURM has not answered, or does not know the job; check again later",
}
"""State -> what to do; the other states need nothing."""
STUCK: Mapping[str, str] = {
    "JobHeldUser": "run `scontrol release {job}`",
    "JobHeldAdmin": "ask the administrator to release it",
    "requeued held": "it failed to start: ask the administrator to check slurmd's log, then `scontrol release {job}`",
    "PartitionTimeLimit": "time limit too long: run `{cancel}`, then generate scripts with a shorter one",
    "PerJobLimit": "request over the job limit: run `{cancel}`, then lower --resource-limits",
}
"""Part of SLURM's reason for a job that will never start without intervention -> what to do."""


def _report(
    workspace: Workspace, plan: Plan, name: str, job_state: JobState | None, commands: Mapping[str, str]
) -> StageReport:
    stage = plan.stages[name]
    found = read_stage(workspace.stage(stage.kind, name))
    state = _state(workspace, plan, name, found.status, job_state)
    report = StageReport(stage=name, kind=stage.kind, state=state, **_in_slurm(job_state))
    if state != "failed" or found.failure is None:
        return replace(report, action=_action(report, commands))
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


def _action(report: StageReport, commands: Mapping[str, str]) -> str:
    """Return what to do about a stage that has not failed; for a queued one, only if it will never start."""
    stuck = [remedy for sign, remedy in STUCK.items() if report.state == "queued" and sign in report.reason]
    return (stuck or [ACTIONS.get(report.state, "")])[0].format(**commands, job=report.job)


def _commands(workspace: Workspace, plan: Plan) -> dict[str, str]:
    """Return the commands that work on this experiment here: scripts can be submitted only if they were generated."""
    name = plan.experiment
    retry = command(workspace, name, "experiment", "retry") + " --on slurm"
    has_scripts = any(workspace.experiment(name).glob("slurm/scripts[0-9]*/submit.sh"))
    resume = command(workspace, name, "experiment", "resume") + " --on slurm"
    return {
        "submit": command(workspace, name, "slurm", "submit") if has_scripts else resume,
        "retry": retry,
        **{verb: command(workspace, name, "slurm", verb) for verb in ("collect", "cancel")},
    }


def _folder(workspace: Workspace, plan: Plan) -> Path:
    return workspace.experiment(plan.experiment).absolute() / "slurm"
