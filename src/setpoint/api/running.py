"""Execution of an experiment on this machine or a SLURM cluster, from the preflight checks to the report."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from setpoint.api.confirming import confirmation_request
from setpoint.arguments import require_instance, require_path, require_text, require_whole
from setpoint.artifacts import Workspace
from setpoint.errors import InputError, shown
from setpoint.execution import Executor, Limits
from setpoint.execution.slurm import Client, Profile, Resources
from setpoint.execution.slurm.profile import read_profile
from setpoint.execution.slurm.resources import named
from setpoint.experiments import launch
from setpoint.experiments.cost.memory import check_memory
from setpoint.experiments.cost.workers import check_workers
from setpoint.experiments.planning.designs import searched
from setpoint.experiments.planning.suggestions import inert_parameters
from setpoint.experiments.preflight import require_fit
from setpoint.experiments.request import Request
from setpoint.experiments.running.commands import command, resume_command
from setpoint.experiments.slurm.scripts import PROFILE, Cluster, executor
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Listener
from setpoint.records.plan import Plan
from setpoint.records.state import ExperimentState, ExperimentStatus
from setpoint.reports import write_reports

_EVERY_STAGE = 1_000_000
"""Larger than the number of stages of any plan: the cluster's own queue limits what runs."""

Notify = Callable[[str], None]
Progress = Callable[[Plan, Workspace], AbstractContextManager[Listener]]
"""Returns, for a plan, a context manager with the listener that shows its events."""


@dataclass(frozen=True)
class Slurm:
    """A SLURM cluster.

    Attributes:
        profile: YAML file that describes the cluster, as in `configs/slurm/`; default: that of the experiment's last
            run.
        resource_limits: resources of a stage that uses the model, such as `gpu:1,mem:32GB,time:24:00:00`.
    """

    profile: str | Path | None = None
    resource_limits: str | None = None

    def __post_init__(self) -> None:
        """Reject a profile that cannot be read, and invalid limits."""
        if self.profile is not None:
            read_profile(require_path(self.profile, "profile"))
        if self.resource_limits is not None:
            Resources.parse(require_text(self.resource_limits, "resource_limits"))

    def cluster(self, experiment: Path | None = None) -> Cluster:
        """Return the cluster settings for an experiment in this folder.

        Raises:
            InputError: the profile or the limits are invalid.
        """
        kept = None if experiment is None else experiment / "slurm" / PROFILE
        path = Path(self.profile) if self.profile is not None else kept
        profile = read_profile(path) if path is not None and (self.profile or path.exists()) else Profile()
        limits = self.resource_limits or ""
        resources = Resources.parse(profile.resources).overridden(limits)
        return Cluster(profile, resources, named=named(profile.resources) | named(limits))


def _no_progress(_plan: Plan, _workspace: Workspace) -> AbstractContextManager[Listener]:
    return nullcontext(lambda _event: None)


def _ignore(_text: str) -> None:
    pass


@dataclass(frozen=True)
class RunOptions:
    """Execution options; none of them changes a result.

    Attributes:
        workers: stages in parallel; None for as many as cores, GPUs and memory allow.
        limits: time, memory and stall limits of every attempt.
        retries: failure class -> number of automatic retries, if not the default.
        retry: returns whether to retry earlier failures of a class.
        on: the cluster; None for this machine.
        calibrate: time the stages that have never run in the workspace with short runs.
        accept_changes: start a new experiment that follows this one if it cannot continue as planned.
        take_over: take the experiment from a coordinator on another host that does not run any more. If it does run,
            some stages are computed twice; results are the same.
        notify: receives progress messages and warnings.
        progress: shows the events of the run.
    """

    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    retries: Mapping[str, int] = field(default_factory=dict)
    retry: Callable[[FailureClass], bool] = field(default=lambda _: False)
    on: Slurm | None = None
    calibrate: bool = False
    accept_changes: bool = False
    take_over: bool = False
    notify: Notify = _ignore
    progress: Progress = _no_progress

    def __post_init__(self) -> None:
        """Reject options of the wrong type, and a number of workers below one."""
        if self.on is not None and not isinstance(self.on, Slurm):
            raise InputError(f"on must be a Slurm cluster, or None for this machine, got {shown(self.on)}.")
        if self.workers is not None:
            require_whole(self.workers, "workers", least=1)
        require_instance(self.limits, Limits, "limits")
        if not callable(self.notify):
            raise InputError(f"notify must be a function of one text, got {shown(self.notify)}.")


@dataclass(frozen=True)
class FinishedRun:
    """An experiment after its run.

    Attributes:
        request: the experiment; if changes were accepted, the new one that follows the requested one.
        report: path of report.txt.
        confirmation: the run of the best trials with new seeds that ended a search; None otherwise.
    """

    request: Request
    status: ExperimentState
    report: Path
    confirmation: "FinishedRun | None" = None


class RunInterrupted(KeyboardInterrupt):
    """The run was interrupted; the experiment can be resumed."""

    def __init__(self, request: Request) -> None:
        """Store the request of the experiment."""
        self.request = request
        super().__init__(
            f"experiment {request.experiment_id!r} was interrupted. Resume it with run(), or with: "
            f"{resume_command(request.workspace, request.experiment_id)}"
        )


class PreparationInterrupted(KeyboardInterrupt):
    """Preparation was interrupted before there was a plan; the same call starts over, with finished datasets kept."""


class ReportInterrupted(KeyboardInterrupt):
    """The run has ended, but writing its report was interrupted."""

    def __init__(self, request: Request) -> None:
        """Store the request of the experiment."""
        self.request = request
        super().__init__(
            f"the report of experiment {request.experiment_id!r} was interrupted; all its runs have ended. Write it "
            f"with report(), or with: {command(request.workspace, request.experiment_id, 'report')}"
        )


def run_experiment(request: Request, options: RunOptions) -> FinishedRun:
    """Run or resume an experiment, and write its report.

    Raises:
        InputError: a requirement is missing, or another process runs the experiment.
        PreparationInterrupted: SIGINT or SIGTERM was received before the experiment was planned.
        RunInterrupted: likewise, later.
        ReportInterrupted: likewise, while the report was being written.
    """
    here = options.on is None
    if not here and searched(request.spec) is not None:
        raise InputError("a search runs on one machine, not on SLURM. Remove --on slurm.")
    make_executor = None if options.on is None else slurm_executor(request, options.on)
    try:
        prepared = launch.start_or_resume(
            request,
            options.notify,
            calibration=options.calibrate,
            accept_changes=options.accept_changes,
            trains_here=here,
        )
    except KeyboardInterrupt as error:
        raise (PreparationInterrupted() if request.existing is None else RunInterrupted(request)) from error
    request, plan = prepared.request, prepared.plan
    if here:
        _require_memory(prepared, options)
    for text in inert_parameters(plan):
        options.notify(f"warning: {text}")
    try:
        status = _run(prepared, options, make_executor and make_executor(plan))
    except KeyboardInterrupt as error:
        raise RunInterrupted(request) from error
    try:
        with _terminated_as_interrupted():
            report = write_reports(request.folder)
    except KeyboardInterrupt as error:
        raise ReportInterrupted(request) from error
    return FinishedRun(request, status, report, _confirmation(request, status, options))


def _confirmation(request: Request, status: ExperimentState, options: RunOptions) -> FinishedRun | None:
    """Run the best trials of a complete search with new seeds, if its specification says so."""
    search = searched(request.spec)
    complete = status.state is ExperimentStatus.FINISHED and any(run.state.ok for run in status.runs.values())
    if search is None or not search.confirm_top or not complete:
        return None
    options.notify(f"search complete; confirming the best {search.confirm_top} with {search.confirm_seeds} new seeds")
    wanted = confirmation_request(
        request.workspace,
        request.experiment_id,
        top=search.confirm_top,
        seeds=search.confirm_seeds,
        experiment_id=f"{request.experiment_id}-confirmed",
        accept_changes=options.accept_changes,
    )
    return run_experiment(wanted, options)


def run_without_report(request: Request, options: RunOptions) -> ExperimentState:
    """Run or resume one of several experiments that share a report.

    Raises:
        InputError: a requirement is missing.
        RunInterrupted: SIGINT or SIGTERM was received.
    """
    prepared = launch.prepare(request, options.notify)
    try:
        return _run(prepared, options, None)
    except KeyboardInterrupt as error:
        raise RunInterrupted(request) from error


def _run(prepared: launch.Preparation, options: RunOptions, remote: Executor | None) -> ExperimentState:
    with options.progress(prepared.plan, prepared.request.workspace) as listener:
        return launch.run(
            prepared,
            launch.Options(
                workers=_EVERY_STAGE if remote is not None and options.workers is None else options.workers,
                executor=remote,
                drain=remote is None,
                limits=options.limits,
                retries=options.retries,
                retry=options.retry,
                listeners=(listener,),
                take_over=options.take_over,
            ),
        )


def slurm_executor(request: Request, slurm: Slurm) -> Callable[[Plan], Executor]:
    """Return a function from a plan to its executor, after all checks of the cluster.

    Raises:
        InputError: SLURM is not installed, does not respond, or the profile is invalid.
    """
    client = Client()
    client.require()
    cluster = slurm.cluster(request.folder)
    if request.existing is None:  # an experiment with jobs waits until the controller responds
        client.require_answer()
    return lambda plan: executor(request.workspace, plan, cluster, client)


def _require_memory(prepared: launch.Preparation, options: RunOptions) -> None:
    """Report smaller training passes, and reject stages or workers that do not fit into memory.

    Raises:
        InputError: the smallest pass of a training stage, or the workers together, need more memory than available.
    """
    request, plan = prepared.request, prepared.plan
    found = check_memory(request.base, plan.stages.values())
    if options.workers is not None:
        found.append(check_workers(request.workspace, plan, request.base, options.workers))
    require_fit(found)
    for check in found:
        if check.result == "remark":
            options.notify(f"{check.name}: {check.text}")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as an interrupt. Only the main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup does
        heard.append(signal.SIGHUP)
    previous = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
