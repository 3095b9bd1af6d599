"""Trials of a search: the first ones, and the next ones from the results of all earlier ones."""

import math
from collections.abc import Callable, Mapping, Sequence

from setpoint.artifacts import StageKind, Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.designs import Setting
from setpoint.experiments.planning.parameters import find
from setpoint.experiments.planning.spec import SweepSpec
from setpoint.experiments.running.scores import LARGER_IS_BETTER, stage_scores
from setpoint.experiments.running.status import experiment_ids
from setpoint.experiments.search.sampling import Told, proposals
from setpoint.experiments.search.space import Space
from setpoint.records.plan import Plan, PlannedRun, Value, read_plan

Planner = Callable[[Sequence[Setting]], Plan]
"""Returns the plan of a search with these trials."""


def first_points(workspace: Workspace, spec: SweepSpec, planned: Planner) -> SweepSpec:
    """Return a new search with its first trials, after the configurations that the workspace has finished.

    Raises:
        InputError: Optuna is not installed.
    """
    assert spec.search is not None
    known = _known(workspace, spec, planned)
    count = min(spec.search.batch, spec.search.trials)
    history: list[Told] = []
    if known:
        plan = planned(known)
        history = _history(workspace, plan, spec.model_copy(update={"points": tuple(known)}), {})
    new = proposals(spec, spec.search, history, count, 0)
    search = spec.search.model_copy(update={"reused": len(known)})
    return spec.model_copy(update={"points": (*known, *new), "search": search})


def next_points(workspace: Workspace, plan: Plan, spec: SweepSpec, scores: dict[str, float | None]) -> list[Setting]:
    """Return the next trials of a search; none if its budget is spent or its space has no more.

    Args:
        scores: run -> score, of runs that have been read already; updated.
    """
    assert spec.search is not None
    done = len(spec.points) - spec.search.reused
    count = min(spec.search.batch, spec.search.trials - done)
    if count <= 0:
        return []
    return proposals(spec, spec.search, _history(workspace, plan, spec, scores), count, done)


def _history(workspace: Workspace, plan: Plan, spec: SweepSpec, scores: dict[str, float | None]) -> list[Told]:
    """Return the mean objective of every trial over its seeds, on the analysis scale; None if all of them failed."""
    by_trial: dict[int, list[float]] = {}
    for run in plan.runs:
        if run.name not in scores:
            scores[run.name] = _objective(workspace, plan, run)
        if (score := scores[run.name]) is not None:
            by_trial.setdefault(run.configuration, []).append(score)
    means = {trial: math.fsum(found) / len(found) for trial, found in by_trial.items()}
    return [(setting, means.get(trial)) for trial, setting in enumerate(spec.points)]


def _objective(workspace: Workspace, plan: Plan, run: PlannedRun) -> float | None:
    """Return the score of a run, smaller is better; None without a result."""
    (system,) = run.systems
    folder = workspace.stage(StageKind.EVALUATE, run.stages["evaluate"])
    mode = plan.analysis.mode(system).episodes
    found = [each for each in stage_scores(folder, plan.analysis.primary_metric) if each.mode == mode]
    if not found:
        return None
    value = -found[0].value if found[0].metric in LARGER_IS_BETTER else found[0].value
    if plan.analysis.scale == "log":
        return math.log(value) if value > 0.0 else None
    return value


def _known(workspace: Workspace, spec: SweepSpec, planned: Planner) -> list[Setting]:
    """Return the configurations of this space whose runs, with the same seeds, are finished in the workspace."""
    space, candidates = Space(spec), list[Setting]()
    for name in experiment_ids(workspace):
        for run in _runs(workspace, name):
            setting = _setting(spec, space, run)
            if setting is not None and setting not in candidates:
                candidates.append(setting)
    if not candidates:
        return []
    plan = planned(candidates)
    unfinished = {
        run.configuration
        for run in plan.runs
        if not workspace.stage(StageKind.EVALUATE, run.stages["evaluate"]).finished()
    }
    return [setting for trial, setting in enumerate(candidates) if trial not in unfinished]


def _runs(workspace: Workspace, experiment: str) -> Sequence[PlannedRun]:
    try:
        plan = read_plan(workspace.experiment(experiment))
    except InputError:  # a damaged plan of another experiment is no reason to stop
        return ()
    return () if plan is None else plan.runs


def _setting(spec: SweepSpec, space: Space, run: PlannedRun) -> Setting | None:
    """Return the values that a run of another experiment has on this space; None if it lies outside."""
    if run.systems != spec.systems or run.training_type != spec.training_types[0]:
        return None
    found: dict[str, Value] = {}
    for name in (*spec.parameters, *spec.ranges):
        places = find(name).places_in(run.training_type)
        values = [_value(run.resolved, place) for place in places]
        if not values or values[0] is None or any(value != values[0] for value in values):
            return None
        found[name] = values[0]
    setting = space.canonical(found)
    return setting if space.contains(setting) else None


def _value(resolved: Mapping[str, Mapping[str, object]], place: tuple[str, str]) -> Value | None:
    value = resolved.get(place[0], {}).get(place[1])
    return value if isinstance(value, bool | int | float | str) else None
