"""Start an experiment or resume it: preflight checks, inputs, plan, and the coordinator's run."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from setpoint.artifacts import TRAINING_KINDS, StageKind, Workspace, create_json
from setpoint.errors import InputError
from setpoint.execution import Executor, Limits, LocalExecutor, gpus
from setpoint.experiments.cost.calibration import calibrate
from setpoint.experiments.cost.estimate import (
    KINDS,
    Estimate,
    StageTiming,
    actual_cost,
    compute_ratio,
    estimate,
    observations,
)
from setpoint.experiments.cost.workers import fitting_workers
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.changes import ChangedSinceError, plan_changes
from setpoint.experiments.planning.datasets import Notify, ensure_datasets, find_datasets
from setpoint.experiments.planning.experiment_types import design_runs
from setpoint.experiments.planning.parameters import TRAINED
from setpoint.experiments.planning.spec import SingleSpec, TransferSpec, needs_compute_ratio
from setpoint.experiments.planning.stages import PRELOAD
from setpoint.experiments.planning.start_adapters import (
    Adapter,
    finished_adapters,
    named_adapter,
    planned_adapters,
)
from setpoint.experiments.preflight import check_machine, require_fit
from setpoint.experiments.request import Lineage, Request, successor
from setpoint.experiments.running.coordinator import Coordinator
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import read_stages
from setpoint.records.estimate import ESTIMATE, read_estimate, write_actual_cost, write_estimate
from setpoint.records.failure import FailureClass
from setpoint.records.journal import EventKind, Journal, Listener, StageFailed, read_events
from setpoint.records.plan import NamedDigest, Plan, plan_path, read_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, StageStatus


@dataclass(frozen=True, slots=True)
class Options:
    """How to run; none of it changes a result.

    Attributes:
        workers: stages that run at the same time; None stands for as many as cores, GPUs and memory allow.
        limits: of every attempt.
        retries: failure class -> how often a stage is tried again by itself, where that is not as usual.
        retry: whether earlier failures of this class are tried again.
        targets: stage kind -> `module:function`, in place of the package's own.
        drain: whether the first interrupt lets running stages finish; jobs that go on without us need no waiting for.
    """

    workers: int | None = 1
    limits: Limits = field(default_factory=Limits)
    retries: Mapping[str, int] | None = None
    retry: Callable[[FailureClass], bool] = field(default=lambda _: False)
    listeners: tuple[Listener, ...] = ()
    executor: Executor | None = None
    targets: Mapping[StageKind, str] | None = None
    drain: bool = True


@dataclass(frozen=True)
class Preparation:
    """What a launch starts from, made once and handed on.

    Attributes:
        request: the experiment that was asked for.
        plan: its frozen plan where it exists, else the new one.
        datasets: system -> data set; in a preview, some of them may not be generated yet.
        adapters: existing adapters that are trained further.
    """

    request: Request
    plan: Plan
    datasets: Mapping[str, NamedDigest]
    adapters: tuple[Adapter, ...]

    @cached_property
    def _observed(self) -> Sequence[StageTiming]:
        return observations(self.request.workspace)

    def estimate(self, workers: int | None = None) -> Estimate:
        """What the unfinished stages will cost, with this many workers (default: as many as fit here)."""
        workers = workers or fitting_workers(self.request.workspace, self.plan, self.request.base)
        return estimate(self.plan, self.request.workspace, workers, self._observed)


def preview(request: Request) -> Preparation:
    """The plan as far as it is known before the data sets are generated; touches nothing on disk.

    Raises:
        InputError: a data set is missing and cannot be generated.
    """
    datasets = find_datasets(request.workspace, request.spec, request.base.preset.prompt_format.blocking)
    inputs = _inputs(request, datasets)
    plan = request.existing or build_plan(request.spec, request.experiment_id, inputs)
    return Preparation(request, plan, datasets, tuple(inputs.adapters))


def _inputs(request: Request, datasets: Mapping[str, NamedDigest]) -> Inputs:
    """What the runs start from; an existing experiment keeps what it was planned with."""
    ratio: float | None = None
    if request.existing is not None:
        ratio = request.existing.compute_ratio
    elif needs_compute_ratio(request.spec):
        ratio = compute_ratio(request.workspace, request.base.digest)
    return Inputs(request.base, datasets, _adapters(request), ratio)


def _adapters(request: Request) -> list[Adapter]:
    """Existing adapters to train further; for an existing experiment, those of its plan.

    Raises:
        InputError: the adapter that was named does not exist.
    """
    if request.existing is not None:
        return planned_adapters(request.existing, request.existing.adapters)
    match request.spec:
        case SingleSpec(start_from=str(place)):
            return [named_adapter(request.workspace, place, request.base)]
        case TransferSpec(base_models="all_available", source_system=source):
            return finished_adapters(request.workspace, source, request.base)
    return []


def require_machine(request: Request, *, trains_here: bool = True) -> None:
    """Refuse what this machine cannot do; nothing is written.

    Args:
        trains_here: whether this machine needs the memory for training.

    Raises:
        InputError: everything that is missing.
    """
    # The number of adapters without sharing: an upper bound that needs no plan.
    adapters = sum(len(TRAINED[run.training_type]) for run in design_runs(request.spec, _adapters(request)))
    require_fit(check_machine(request.workspace, request.base, adapters=adapters, trains_here=trains_here))


def prepare(
    request: Request, say: Notify, *, calibration: bool = False, accept_changes: bool = False, trains_here: bool = True
) -> Preparation:
    """Check the machine, generate missing data sets, and plan; the experiment's own folder is not touched yet.

    Args:
        say: told what takes time.
        calibration: whether to measure, with short runs, stages of kinds that have never run here.
        accept_changes: whether a change counts even where everything planned is finished.
        trains_here: whether this machine needs the memory for training.

    Raises:
        InputError: something is missing.
        ChangedSinceError: the base, the data or the code have changed since the experiment was planned.
    """
    require_machine(request, trains_here=trains_here)
    request.workspace.require_writable()
    datasets = ensure_datasets(request.workspace, request.spec, request.base.preset.prompt_format.blocking, say)
    inputs = _inputs(request, datasets)
    prepared = Preparation(
        request, build_plan(request.spec, request.experiment_id, inputs), datasets, tuple(inputs.adapters)
    )
    if request.existing is not None:
        return replace(prepared, plan=_existing_plan(request.existing, prepared, accept_changes=accept_changes))
    prepared = _calibrated(prepared, say, everything=calibration)
    return prepared if request.follows is None else replace(prepared, plan=_following(prepared.plan, request.follows))


def _existing_plan(existing: Plan, prepared: Preparation, *, accept_changes: bool) -> Plan:
    """The frozen plan, where it can still be run or is finished.

    Raises:
        ChangedSinceError: see `prepare`.
    """
    if existing.stages.keys() == prepared.plan.stages.keys():
        return existing
    states = read_stages(prepared.request.workspace, existing)
    if all(state.status is StageStatus.FINISHED for state in states.values()) and not accept_changes:
        return existing
    changes = plan_changes(existing, prepared.plan)
    raise ChangedSinceError(
        f"experiment {existing.experiment!r} cannot continue as planned: {', '.join(changes)} changed since. Use "
        "--accept-changes for an experiment that follows it; unchanged stages are reused.",
        changes,
    )


def start_or_resume(
    request: Request, say: Notify, *, calibration: bool = False, accept_changes: bool = False, trains_here: bool = True
) -> Preparation:
    """Like `prepare`; with `accept_changes`, an experiment that cannot continue is followed by a new one."""
    while True:
        try:
            return prepare(
                request, say, calibration=calibration, accept_changes=accept_changes, trains_here=trains_here
            )
        except ChangedSinceError as error:
            if not accept_changes:
                raise
            following = successor(request, error.changes)
            say(f"{request.experiment_id}: {', '.join(error.changes)} changed; continuing as {following.experiment_id}")
            request = following


def _following(plan: Plan, follows: Lineage) -> Plan:
    return plan.model_copy(update={"provenance": {**plan.provenance, "follows": asdict(follows)}})


def _calibrated(prepared: Preparation, say: Notify, *, everything: bool) -> Preparation:
    """The preparation after calibration.

    Only a control of equal compute changes with what was measured: its plan is then built once more.
    """
    request = prepared.request
    provisional = needs_compute_ratio(request.spec) and prepared.plan.compute_ratio is None
    wanted = set(TRAINING_KINDS) if provisional else set[StageKind]()
    if everything:
        expected = prepared.estimate(workers=1)
        wanted |= {*expected.unknown, *expected.unlike}
    if wanted:
        calibrate(request.workspace, prepared.plan, [kind for kind in KINDS if kind in wanted], say)
    if not provisional:
        return Preparation(request, prepared.plan, prepared.datasets, prepared.adapters)  # with new observations
    plan = build_plan(request.spec, request.experiment_id, _inputs(request, prepared.datasets))
    return Preparation(request, plan, prepared.datasets, prepared.adapters)


def run(prepared: Preparation, options: Options) -> ExperimentState:
    """Run the plan to its end under the experiment's lease, and link the models.

    Raises:
        InputError: another coordinator holds the experiment.
        KeyboardInterrupt: on SIGINT, after the running stages have finished; on a second one and on SIGTERM, after they
            were ended. The experiment can be resumed.
    """
    request, plan = prepared.request, prepared.plan
    with lease(request.folder) as token:
        if not create_json(plan_path(request.folder), plan.to_file()) and read_plan(request.folder) != plan:
            raise InputError(f"experiment {request.experiment_id!r} was planned by another process. Start again.")
        workers = options.workers or fitting_workers(request.workspace, plan, request.base)
        write_prediction(prepared, workers)
        failed, tried = _failed_stages(request.workspace, plan), _tried_stages(request.folder)
        executor = options.executor or LocalExecutor(preload=PRELOAD, limits=options.limits, devices=gpus())
        journal = Journal(request.folder, token, options.listeners)
        coordinator = Coordinator(
            request.workspace,
            plan,
            executor,
            journal,
            workers=workers,
            targets=options.targets,
            retries={**request.spec.retries, **(options.retries or {})},
        )
        with _interrupts(coordinator, drain=options.drain) as interrupts:
            try:
                status = coordinator.run(
                    rerun_failed=_to_rerun(failed, tried, options.retry),
                    settled=_settled(failed, tried, options.retries or {}),
                )
            finally:
                link_models(request.workspace, plan)
                write_actual(request.workspace, plan)
        if interrupts and status.state is ExperimentStatus.INTERRUPTED:
            raise KeyboardInterrupt
        return status


def write_prediction(prepared: Preparation, workers: int) -> None:
    """Keep what the experiment was expected to cost when it was first started."""
    if not (prepared.request.folder / ESTIMATE).exists():
        expected = prepared.estimate(min(workers, len(prepared.plan.stages)))
        write_estimate(prepared.request.folder, expected.record())


def write_actual(workspace: Workspace, plan: Plan) -> None:
    """Beside the prediction, what the stages that it was about have cost so far."""
    folder = workspace.experiment(plan.experiment)
    record = read_estimate(folder)
    if record is not None and record.stages:
        write_actual_cost(folder, record, actual_cost(workspace, plan, record.stages))


def _failed_stages(workspace: Workspace, plan: Plan) -> dict[str, FailureClass]:
    """Stage id -> class of its last failure."""
    states = read_stages(workspace, plan)
    return {name: state.failure.failure_class for name, state in states.items() if state.failure is not None}


def _tried_stages(folder: Path) -> dict[str, bool]:
    """Of every stage that has failed in this experiment, whether it was to be tried again after the last time."""
    events = read_events(folder, EventKind.STAGE_FAILED)
    return {event.stage: event.retry for event in events if isinstance(event, StageFailed)}


def _to_rerun(
    failed: Mapping[str, FailureClass], tried: Mapping[str, bool], retry: Callable[[FailureClass], bool]
) -> frozenset[str]:
    """Failed stages to try again: those that are asked for, and those of other experiments that are no results."""
    return frozenset(
        name
        for name, failure_class in failed.items()
        if retry(failure_class) or (name not in tried and not failure_class.policy.result)
    )


def _settled(
    failed: Mapping[str, FailureClass], tried: Mapping[str, bool], retries: Mapping[str, int]
) -> frozenset[str]:
    """Failed stages that this experiment gave up, but those of classes that stop it or that `retries` now names."""
    return frozenset(
        name
        for name, failure_class in failed.items()
        if tried.get(name) is False and failure_class not in retries and not failure_class.policy.resumes
    )


@contextlib.contextmanager
def _interrupts(coordinator: Coordinator, *, drain: bool) -> Iterator[list[int]]:
    """The first SIGINT lets running stages finish, the second ends them, as a scheduler's polite SIGTERM does at once.

    Yields the interrupts so far. Only the main thread gets signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def on_interrupt(number: int, _frame: object) -> None:
        received.append(number)
        if number == signal.SIGTERM or len(received) > 1 or not drain:
            raise KeyboardInterrupt
        coordinator.drain()

    previous = {number: signal.signal(number, on_interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
