"""Start an experiment or resume it: preflight checks, inputs, plan, and the coordinator's run."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from setpoint.artifacts import StageKind, Workspace, create_json, require_real
from setpoint.errors import InputError
from setpoint.execution import Executor, Limits, LocalExecutor, gpus
from setpoint.execution.slurm import Client
from setpoint.execution.slurm.holders import free_stages
from setpoint.experiments.cost.calibration import calibrate
from setpoint.experiments.cost.estimate import (
    KINDS,
    Estimate,
    StageTiming,
    actual_cost,
    compute_ratios,
    estimate,
    observations,
)
from setpoint.experiments.cost.workers import fitting_workers
from setpoint.experiments.planning.build import Inputs, build_plan
from setpoint.experiments.planning.canonical import measured_kinds
from setpoint.experiments.planning.changes import ChangedSinceError, plan_changes
from setpoint.experiments.planning.datasets import Notify, ensure_datasets, find_datasets
from setpoint.experiments.planning.designs import searched
from setpoint.experiments.planning.experiment_types import design_runs
from setpoint.experiments.planning.parameters import TRAINED
from setpoint.experiments.planning.spec import SingleSpec, SweepSpec, TransferSpec, planned_spec
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
from setpoint.experiments.running.links import link_models, model_folders
from setpoint.experiments.running.status import read_stages
from setpoint.experiments.search.trials import first_points, next_points
from setpoint.records.estimate import ESTIMATE, read_estimate, write_actual_cost, write_estimate
from setpoint.records.failure import FailureClass
from setpoint.records.journal import EventKind, Journal, Listener, StageFailed, read_events
from setpoint.records.plan import NamedDigest, Plan, append_trials, plan_path, read_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, StageStatus


@dataclass(frozen=True, slots=True)
class Options:
    """Execution options; none of them affects results.

    Attributes:
        workers: number of concurrent stages; None: as many as cores, GPUs and memory allow.
        limits: limits of every attempt.
        retries: failure class -> maximum number of automatic retries, in place of the policy's.
        retry: whether to retry earlier failures of a class.
        targets: stage kind -> `module:function`, in place of the package's own.
        drain: whether the first interrupt waits for running stages; cluster jobs continue without the coordinator.
        take_over: whether to take the experiment from a coordinator on another host; see `lease`.
    """

    workers: int | None = 1
    limits: Limits = field(default_factory=Limits)
    retries: Mapping[str, int] | None = None
    retry: Callable[[FailureClass], bool] = field(default=lambda _: False)
    listeners: tuple[Listener, ...] = ()
    executor: Executor | None = None
    targets: Mapping[StageKind, str] | None = None
    drain: bool = True
    take_over: bool = False


@dataclass(frozen=True)
class Preparation:
    """Everything needed to launch an experiment.

    Attributes:
        request: the requested experiment.
        plan: its frozen plan if it exists, otherwise the new one.
        datasets: system -> dataset; in a preview, some may not have been generated yet.
        adapters: existing adapters that runs train further.
    """

    request: Request
    plan: Plan
    datasets: Mapping[str, NamedDigest]
    adapters: tuple[Adapter, ...]

    @cached_property
    def _observed(self) -> Sequence[StageTiming]:
        return observations(self.request.workspace)

    def estimate(self, workers: int | None = None) -> Estimate:
        """Estimate the cost of the unfinished stages with this many workers (default: as many as fit here)."""
        workers = workers or fitting_workers(self.request.workspace, self.plan, self.request.base)
        return estimate(self.plan, self.request.workspace, workers, self._observed)


def preview(request: Request) -> Preparation:
    """Return the plan as far as it is known before datasets are generated. Writes nothing to disk.

    Raises:
        InputError: a dataset is missing and cannot be generated.
    """
    datasets = find_datasets(request.workspace, request.spec)
    inputs = _inputs(request, datasets)
    request = _with_first_trials(request, inputs)
    plan = request.existing or build_plan(request.spec, request.experiment_id, inputs)
    return Preparation(request, plan, datasets, tuple(inputs.adapters))


def _with_first_trials(request: Request, inputs: Inputs) -> Request:
    """Return the request of a new search with its first trials, after those that the workspace has finished."""
    spec = request.spec
    if request.existing is not None or not isinstance(spec, SweepSpec) or spec.search is None:
        return request
    spec = first_points(
        request.workspace,
        spec,
        lambda points: build_plan(spec.model_copy(update={"points": tuple(points)}), request.experiment_id, inputs),
    )
    return replace(request, spec=spec)


def _inputs(request: Request, datasets: Mapping[str, NamedDigest]) -> Inputs:
    """Return the inputs of the runs; an existing experiment keeps the ones that it was planned with."""
    ratios: Mapping[StageKind, float] | None = None
    if request.existing is not None:
        ratios = request.existing.compute_ratios
    elif kinds := measured_kinds(request.spec):
        ratios = compute_ratios(request.workspace, request.base.digest, kinds)
    return Inputs(request.base, datasets, _adapters(request), ratios)


def _adapters(request: Request) -> list[Adapter]:
    """Return the existing adapters to train further; for an existing experiment, those of its plan.

    Raises:
        InputError: the named adapter does not exist.
    """
    if request.existing is not None:
        return planned_adapters(request.existing, request.existing.adapters)
    match request.spec:
        case SingleSpec(start_from=str(place)):
            return [named_adapter(request.workspace, place, request.base)]
        case TransferSpec(base_models="all_available", source_system=source):
            return finished_adapters(request.workspace, source, request.base)
    return []


def available_adapters(request: Request) -> list[Adapter]:
    """Return the existing adapters that a new experiment with `all_available` would train further."""
    match request.spec:
        case TransferSpec(base_models="all_available") if request.existing is None:
            return _adapters(request)
    return []


def require_machine(request: Request, *, trains_here: bool = True) -> None:
    """Run the preflight checks of this machine. Writes nothing to disk.

    Args:
        trains_here: whether training runs on this machine, so that its memory is checked.

    Raises:
        InputError: all failed checks.
    """
    # Number of adapters if no stage is shared: an upper bound that needs no plan.
    adapters = sum(len(TRAINED[run.training_type]) for run in design_runs(request.spec, _adapters(request)))
    if (search := searched(request.spec)) is not None:
        assert isinstance(request.spec, SweepSpec)
        adapters = search.trials * request.spec.replicates * len(TRAINED[request.spec.training_types[0]])
    require_fit(check_machine(request.workspace, request.base, adapters=adapters, trains_here=trains_here))


def prepare(
    request: Request,
    notify: Notify,
    *,
    calibration: bool = False,
    accept_changes: bool = False,
    trains_here: bool = True,
) -> Preparation:
    """Check the machine, generate missing datasets, and plan. The experiment's folder is not written yet.

    Args:
        notify: called with a message before each slow step.
        calibration: whether to time short runs of stages that have no comparable finished stage here.
        accept_changes: whether changes matter even if every planned stage is finished.
        trains_here: whether training runs on this machine, so that its memory is checked.

    Raises:
        InputError: a check failed or an input is missing.
        ChangedSinceError: base model, datasets or code have changed since the experiment was planned.
    """
    require_machine(request, trains_here=trains_here)
    request.workspace.require_writable()
    datasets = ensure_datasets(request.workspace, request.spec, notify)
    inputs = _inputs(request, datasets)
    request = _with_first_trials(request, inputs)
    prepared = Preparation(
        request, build_plan(request.spec, request.experiment_id, inputs), datasets, tuple(inputs.adapters)
    )
    if request.existing is not None:
        return replace(prepared, plan=_existing_plan(request.existing, prepared, accept_changes=accept_changes))
    prepared = _calibrated(prepared, notify, everything=calibration)
    return prepared if request.follows is None else replace(prepared, plan=_following(prepared.plan, request.follows))


def _existing_plan(existing: Plan, prepared: Preparation, *, accept_changes: bool) -> Plan:
    """Return the frozen plan, if it can still be run or is finished.

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
        "--accept-changes to continue as a new experiment; unchanged stages are reused.",
        changes,
    )


def start_or_resume(
    request: Request,
    notify: Notify,
    *,
    calibration: bool = False,
    accept_changes: bool = False,
    trains_here: bool = True,
) -> Preparation:
    """Like `prepare`, but with `accept_changes` an experiment that cannot continue gets a successor."""
    while True:
        try:
            return prepare(
                request, notify, calibration=calibration, accept_changes=accept_changes, trains_here=trains_here
            )
        except ChangedSinceError as error:
            if not accept_changes:
                raise
            following = successor(request, error.changes)
            notify(
                f"{request.experiment_id}: {', '.join(error.changes)} changed; continuing as {following.experiment_id}"
            )
            request = following


def _following(plan: Plan, follows: Lineage) -> Plan:
    return plan.model_copy(update={"provenance": {**plan.provenance, "follows": asdict(follows)}})


def _calibrated(prepared: Preparation, notify: Notify, *, everything: bool) -> Preparation:
    """Return the preparation after calibration.

    Only an equal-compute control depends on the measurements; its plan is then built again.
    """
    request = prepared.request
    measured = measured_kinds(request.spec)
    provisional = bool(measured) and prepared.plan.compute_ratios is None
    wanted = {StageKind.SFT, *measured} if provisional else set[StageKind]()
    if everything:
        expected = prepared.estimate(workers=1)
        wanted |= {*expected.unknown, *expected.unlike}
    if wanted:
        calibrate(request.workspace, prepared.plan, [kind for kind in KINDS if kind in wanted], notify)
    if not provisional:
        return Preparation(request, prepared.plan, prepared.datasets, prepared.adapters)  # with new observations
    plan = build_plan(request.spec, request.experiment_id, _inputs(request, prepared.datasets))
    return Preparation(request, plan, prepared.datasets, prepared.adapters)


def run(prepared: Preparation, options: Options) -> ExperimentState:
    """Run the plan to completion under the experiment's lease, and link the models.

    Raises:
        InputError: another coordinator holds the experiment.
        KeyboardInterrupt: after SIGINT, when the running stages have finished; after a second SIGINT, a SIGTERM or a
            SIGHUP, when they have been stopped. The experiment can be resumed.
    """
    request, plan = prepared.request, prepared.plan
    with lease(request.folder, take_over=options.take_over) as token:
        _require_real_folders(request.workspace, plan)
        free_stages((request.workspace.stage(stage.kind, name) for name, stage in plan.stages.items()), Client())
        if not create_json(plan_path(request.folder), plan.to_file()) and read_plan(request.folder) != plan:
            raise InputError(
                f"experiment {request.experiment_id!r} was planned by another process. Run the command again."
            )
        workers = options.workers or fitting_workers(request.workspace, plan, request.base)
        write_prediction(prepared, workers)
        failed, tried = _failed_stages(request.workspace, plan), _tried_stages(request.folder)
        executor = options.executor or LocalExecutor(preload=PRELOAD, limits=options.limits, devices=gpus())
        scores: dict[str, float | None] = {}
        journal = Journal(request.folder, token, options.listeners)
        coordinator = Coordinator(
            request.workspace,
            plan,
            executor,
            journal,
            workers=workers,
            targets=options.targets,
            retries={**request.spec.retries, **(options.retries or {})},
            free=lambda stage: free_stages([stage], Client()),
        )
        with _interrupts(coordinator, drain=options.drain) as interrupts:
            try:
                status = coordinator.run(
                    rerun_failed=_to_rerun(failed, tried, options.retry),
                    settled=_settled(failed, tried, options.retries or {}),
                )
                while not interrupts and (longer := _next_trials(prepared, plan, status, scores)) is not None:
                    append_trials(request.folder, plan, longer)
                    plan = longer
                    coordinator.extend(plan)
                    status = coordinator.run()
            finally:
                link_models(request.workspace, plan)
                write_actual(request.workspace, plan)
        if interrupts and status.state is ExperimentStatus.INTERRUPTED:
            raise KeyboardInterrupt
        return status


def _next_trials(
    prepared: Preparation, plan: Plan, status: ExperimentState, scores: dict[str, float | None]
) -> Plan | None:
    """Return the plan of a search with its next trials; None if it is complete, stopped early, or no search.

    Raises:
        ChangedSinceError: the trials so far would now be other stages.
    """
    spec = planned_spec(plan)
    if searched(spec) is None or status.state is not ExperimentStatus.FINISHED:
        return None
    assert isinstance(spec, SweepSpec)
    new = next_points(prepared.request.workspace, plan, spec, scores)
    if not new:
        return None
    spec = spec.model_copy(update={"points": (*spec.points, *new)})
    inputs = Inputs(prepared.request.base, prepared.datasets, prepared.adapters)
    longer = build_plan(spec, plan.experiment, inputs)
    if [run.stages for run in longer.runs[: len(plan.runs)]] != [run.stages for run in plan.runs]:
        raise ChangedSinceError(
            f"search {plan.experiment!r} cannot continue as planned: code, base or data changed since. Use "
            "--accept-changes to continue as a new search.",
            plan_changes(plan, longer),
        )
    added = {"runs": longer.runs, "stages": {**plan.stages, **longer.stages}}
    return plan.model_copy(update={**added, "spec": {**plan.spec, "points": list(spec.points)}})


def _require_real_folders(workspace: Workspace, plan: Plan) -> None:
    """Check before the first stage that no folder to be written is a link."""
    for name, stage in plan.stages.items():
        folder = workspace.stage(stage.kind, name)
        for place in (folder.attempts_folder, folder.checkpoints):
            require_real(place, workspace.root)
    for models in model_folders(workspace, plan):
        require_real(models, workspace.root)


def write_prediction(prepared: Preparation, workers: int) -> None:
    """Store the cost estimate when the experiment is first started."""
    if not (prepared.request.folder / ESTIMATE).exists():
        expected = prepared.estimate(min(workers, len(prepared.plan.stages)))
        write_estimate(prepared.request.folder, expected.record())


def write_actual(workspace: Workspace, plan: Plan) -> None:
    """Store, next to the estimate, the actual cost so far of the stages that it covers."""
    folder = workspace.experiment(plan.experiment)
    record = read_estimate(folder)
    if record is not None and record.stages:
        write_actual_cost(folder, record, actual_cost(workspace, plan, record.stages))


def _failed_stages(workspace: Workspace, plan: Plan) -> dict[str, FailureClass]:
    """Return stage id -> class of its last failure."""
    states = read_stages(workspace, plan)
    return {name: state.failure.failure_class for name, state in states.items() if state.failure is not None}


def _tried_stages(folder: Path) -> dict[str, bool]:
    """Return stage id -> whether it was to be retried after its last failure in this experiment."""
    events = read_events(folder, EventKind.STAGE_FAILED)
    return {event.stage: event.retry for event in events if isinstance(event, StageFailed)}


def _to_rerun(
    failed: Mapping[str, FailureClass], tried: Mapping[str, bool], retry: Callable[[FailureClass], bool]
) -> frozenset[str]:
    """Return failed stages to retry: requested ones, and infrastructure failures recorded by other experiments."""
    return frozenset(
        name
        for name, failure_class in failed.items()
        if retry(failure_class) or (name not in tried and not failure_class.policy.result)
    )


def _settled(
    failed: Mapping[str, FailureClass], tried: Mapping[str, bool], retries: Mapping[str, int]
) -> frozenset[str]:
    """Return failed stages that this experiment has given up, except classes that resume or that `retries` names."""
    return frozenset(
        name
        for name, failure_class in failed.items()
        if tried.get(name) is False and failure_class not in retries and not failure_class.policy.resumes
    )


@contextlib.contextmanager
def _interrupts(coordinator: Coordinator, *, drain: bool) -> Iterator[list[int]]:
    """Graceful shutdown: the first SIGINT lets running stages finish; the second, a SIGTERM or a SIGHUP stops them.

    Yields the list of signals received so far. Does nothing outside the main thread, where Python delivers signals.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def on_interrupt(number: int, _frame: object) -> None:
        if number != signal.SIGINT and number in received:  # schedulers send several; the first one is being obeyed
            return
        received.append(number)
        if number != signal.SIGINT or len(received) > 1 or not drain:
            raise KeyboardInterrupt
        coordinator.drain()

    heard = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup does
        heard.append(signal.SIGHUP)
    previous = {number: signal.signal(number, on_interrupt) for number in heard}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
