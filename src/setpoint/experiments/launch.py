"""Start an experiment or resume it: preflight checks, inputs, plan, and the coordinator's run."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from setpoint.artifacts import TRAINING_KINDS, StageKind, Workspace, create_json
from setpoint.errors import InputError
from setpoint.execution import Executor, Limits, LocalExecutor, gpus
from setpoint.experiments.cost.calibration import calibrate
from setpoint.experiments.cost.estimate import KINDS, actual_cost, compute_ratio, estimate
from setpoint.experiments.cost.workers import fitting_workers
from setpoint.experiments.planning.adapters import (
    Adapter,
    finished_adapters,
    named_adapter,
    planned_adapters,
)
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.changes import ChangedSinceError, plan_changes
from setpoint.experiments.planning.data import Say, ensure_datasets, find_datasets
from setpoint.experiments.planning.stages import PRELOAD
from setpoint.experiments.preflight import check_machine, require_fit
from setpoint.experiments.request import Follows, Request, successor
from setpoint.experiments.running.coordinator import Coordinator
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import read_stages
from setpoint.records.estimate import ESTIMATE, read_estimate, write_actual_cost, write_estimate
from setpoint.records.failure import FailureClass
from setpoint.records.journal import EventKind, Journal, Listener, StageFailed, read_events
from setpoint.records.plan import Named, Plan, plan_path, read_plan
from setpoint.records.state import ExperimentStatus, StageStatus, Status


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


def preview(request: Request) -> Plan:
    """The plan as far as it is known before the data sets are made; touches nothing on disk.

    Raises:
        InputError: a data set is missing and cannot be made.
    """
    datasets = find_datasets(request.workspace, request.spec, request.base.preset.dialect.blocking)
    return build_plan(request.spec, request.experiment_id, _inputs(request, datasets))


def _inputs(request: Request, datasets: Mapping[str, Named]) -> Inputs:
    """What the runs start from; what an existing experiment was planned with stays."""
    ratio: float | None = None
    if request.existing is not None:
        ratio = request.existing.compute_ratio
    elif request.spec.equal_compute_control:
        ratio = compute_ratio(request.workspace, request.base.digest)
    return Inputs(request.base, datasets, _adapters(request), ratio)


def _adapters(request: Request) -> list[Adapter]:
    """What is there to be trained further; for an experiment that exists, what was there when it was planned.

    Raises:
        InputError: the one that is named is not there.
    """
    if request.existing is not None:
        return planned_adapters(request.existing, request.existing.adapters)
    spec = request.spec
    if spec.start_from is not None:
        return [named_adapter(request.workspace, spec.start_from, request.base)]
    if spec.base_models == "all_available" and spec.source_system is not None:
        return finished_adapters(request.workspace, spec.source_system, request.base)
    return []


def require_machine(request: Request, *, trains_here: bool = True) -> None:
    """Refuse what this machine cannot do; nothing is written.

    Args:
        trains_here: whether this is the machine that needs the memory.

    Raises:
        InputError: everything that stands in the way.
    """
    adapters = sum(stage.kind.trains for stage in preview(request).stages.values())
    require_fit(check_machine(request.workspace, request.base, adapters=adapters, trains_here=trains_here))


def prepare(
    request: Request, say: Say, *, calibration: bool = False, accept_changes: bool = False, trains_here: bool = True
) -> Plan:
    """Check the machine, see that the data sets are there, and plan; the experiment's own folder is not touched yet.

    Args:
        say: told what takes time.
        calibration: whether short runs measure what stages cost whose like have never run here.
        accept_changes: whether a change counts also where everything that was planned is finished.
        trains_here: whether this is the machine that needs the memory.

    Raises:
        InputError: something is missing.
        ChangedSinceError: the base, the data or the code have changed since the experiment was planned.
    """
    require_machine(request, trains_here=trains_here)
    request.workspace.require_writable()
    blocking = request.base.preset.dialect.blocking
    datasets = ensure_datasets(request.workspace, request.spec, blocking, say)
    plan = build_plan(request.spec, request.experiment_id, _inputs(request, datasets))
    plan = _calibrated(request, plan, datasets, say, everything=calibration)
    if request.existing is None:
        return plan if request.follows is None else _following(plan, request.follows)
    if request.existing.stages.keys() == plan.stages.keys():
        return request.existing
    states = read_stages(request.workspace, request.existing)
    if all(state.status is StageStatus.FINISHED for state in states.values()) and not accept_changes:
        return request.existing
    changes = plan_changes(request.existing, plan)
    raise ChangedSinceError(
        f"experiment {request.experiment_id!r} cannot go on as planned: {', '.join(changes)} changed since. Use "
        "--accept-changes for an experiment that follows it; stages that are still the same are reused.",
        changes,
    )


def take_up(
    request: Request, say: Say, *, calibration: bool = False, accept_changes: bool = False, trains_here: bool = True
) -> tuple[Request, Plan]:
    """Like `prepare`; with `accept_changes`, what cannot go on as planned goes on as an experiment that follows it."""
    while True:
        try:
            plan = prepare(
                request, say, calibration=calibration, accept_changes=accept_changes, trains_here=trains_here
            )
            return request, plan
        except ChangedSinceError as error:
            if not accept_changes:
                raise
            following = successor(request, error.changes)
            say(f"{request.experiment_id}: {', '.join(error.changes)} changed; going on as {following.experiment_id}")
            request = following


def _following(plan: Plan, follows: Follows) -> Plan:
    return plan.model_copy(update={"provenance": {**plan.provenance, "follows": asdict(follows)}})


def _calibrated(request: Request, plan: Plan, datasets: Mapping[str, Named], say: Say, *, everything: bool) -> Plan:
    """The plan after calibration, which an equal-compute control needs in any case to know its steps."""
    if request.existing is not None:
        return plan
    wanted: set[StageKind] = set()
    if everything:
        expected = estimate(plan, request.workspace, 1)
        wanted = {*expected.unknown, *expected.unlike}
    if request.spec.equal_compute_control and plan.compute_ratio is None:
        wanted |= set(TRAINING_KINDS)
    if wanted:
        calibrate(request.workspace, plan, [kind for kind in KINDS if kind in wanted], say)
    return build_plan(request.spec, request.experiment_id, _inputs(request, datasets)) if wanted else plan


def run(request: Request, plan: Plan, options: Options) -> Status:
    """Run `plan` to its end under the experiment's lease, and link the models.

    Raises:
        InputError: another coordinator holds the experiment.
        KeyboardInterrupt: on SIGINT, after the running stages have finished; on a second one and on SIGTERM, after they
            were ended. The experiment can be resumed.
    """
    with lease(request.folder) as token:
        if not create_json(plan_path(request.folder), plan.to_file()) and read_plan(request.folder) != plan:
            raise InputError(f"experiment {request.experiment_id!r} was planned by another process. Start again.")
        workers = options.workers or fitting_workers(request.workspace, plan, request.base)
        write_prediction(request, plan, workers)
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


def write_prediction(request: Request, plan: Plan, workers: int) -> None:
    """Keep what the experiment was expected to cost when it was first started."""
    if not (request.folder / ESTIMATE).exists():
        expected = estimate(plan, request.workspace, min(workers, len(plan.stages)))
        write_estimate(request.folder, expected.record())


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
