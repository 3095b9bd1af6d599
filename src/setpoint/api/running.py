"""How an experiment is run: here or on a SLURM cluster, from the checks to the report."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from setpoint.artifacts import Workspace
from setpoint.execution import Executor, Limits
from setpoint.execution.slurm import Client, Profile, Resources
from setpoint.execution.slurm.profile import read_profile
from setpoint.execution.slurm.resources import named
from setpoint.experiments import launch
from setpoint.experiments.cost.memory import check_memory
from setpoint.experiments.cost.workers import check_workers
from setpoint.experiments.planning.suggestions import inert_parameters
from setpoint.experiments.preflight import require_fit
from setpoint.experiments.request import Request
from setpoint.experiments.slurm.scripts import PROFILE, Cluster, executor
from setpoint.records.failure import FailureClass
from setpoint.records.journal import Listener
from setpoint.records.plan import Plan
from setpoint.records.state import ExperimentState
from setpoint.reports import write_reports

_EVERY_STAGE = 1_000_000
"""More stages than any plan has: a cluster has a queue of its own."""

Notify = Callable[[str], None]
Progress = Callable[[Plan, Workspace], AbstractContextManager[Listener]]
"""Gives, for a plan, the listener that shows its events while it runs."""


@dataclass(frozen=True)
class Slurm:
    """A SLURM cluster.

    Attributes:
        profile: a YAML file that describes it, as in `configs/slurm/`; default: that of the experiment's last run.
        resource_limits: what a stage that uses the model asks for, such as `gpu:1,mem:32GB,time:24:00:00`.
    """

    profile: str | Path | None = None
    resource_limits: str | None = None

    def cluster(self, experiment: Path | None = None) -> Cluster:
        """How an experiment in this folder uses the cluster.

        Raises:
            InputError: the profile or the limits cannot be used.
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
    """How to run; none of it changes a result.

    Attributes:
        workers: stages at the same time; None for as many as cores, GPUs and memory allow.
        limits: on time, memory and silence of every attempt.
        retries: failure class -> automatic retries, where not the usual number.
        retry: whether to retry earlier failures of this class.
        on: the cluster; None for this machine.
        calibrate: whether to measure, with short runs, what has never run in the workspace.
        accept_changes: whether an experiment that cannot continue as planned is followed by a new one.
        notify: is told what takes time, and warnings.
        progress: shows the events of the run.
    """

    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    retries: Mapping[str, int] = field(default_factory=dict)
    retry: Callable[[FailureClass], bool] = field(default=lambda _: False)
    on: Slurm | None = None
    calibrate: bool = False
    accept_changes: bool = False
    notify: Notify = _ignore
    progress: Progress = _no_progress


@dataclass(frozen=True)
class FinishedRun:
    """An experiment after it ran.

    Attributes:
        request: the experiment; not the requested one, where accepted changes led to one that follows it.
        report: the path of report.txt.
    """

    request: Request
    status: ExperimentState
    report: Path


class RunInterrupted(KeyboardInterrupt):
    """The run was interrupted; the experiment can be resumed."""

    def __init__(self, request: Request) -> None:
        """Keep which experiment it was."""
        self.request = request
        super().__init__()


class ReportInterrupted(KeyboardInterrupt):
    """The run is over, but writing its report was interrupted."""

    def __init__(self, request: Request) -> None:
        """Keep which experiment it was."""
        self.request = request
        super().__init__()


def run_experiment(request: Request, options: RunOptions) -> FinishedRun:
    """Run or resume an experiment, and write its report.

    Raises:
        InputError: something is missing, or another process runs the experiment.
        RunInterrupted: by SIGINT or SIGTERM.
        ReportInterrupted: likewise, while the report was written.
    """
    here = options.on is None
    make_executor = None if options.on is None else slurm_executor(request, options.on)
    prepared = launch.start_or_resume(
        request,
        options.notify,
        calibration=options.calibrate,
        accept_changes=options.accept_changes,
        trains_here=here,
    )
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
    return FinishedRun(request, status, report)


def run_without_report(request: Request, options: RunOptions) -> ExperimentState:
    """Run or resume one of several experiments that are reported together.

    Raises:
        InputError: something is missing.
        RunInterrupted: by SIGINT or SIGTERM.
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
            ),
        )


def slurm_executor(request: Request, slurm: Slurm) -> Callable[[Plan], Executor]:
    """What makes the executor of a plan; whatever can be wrong with it is found here, before anything is prepared.

    Raises:
        InputError: SLURM is not installed, does not answer a new experiment, or the profile is wrong.
    """
    client = Client()
    client.require()
    cluster = slurm.cluster(request.folder)
    if request.existing is None:  # one that has jobs waits for a controller that is away
        client.require_answer()
    return lambda plan: executor(request.workspace, plan, cluster, client)


def _require_memory(prepared: launch.Preparation, options: RunOptions) -> None:
    """Announce smaller passes, and refuse what does not fit into memory.

    Raises:
        InputError: training stages whose smallest pass needs more memory than there is; workers that together do.
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
    """Treat SIGTERM as an interrupt. Only the main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
