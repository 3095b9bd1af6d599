"""Requests: a validated specification together with the new or existing experiment that it denotes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.artifacts import Workspace, check_identifier
from setpoint.errors import Findings, InputError
from setpoint.experiments.planning.canonical import canonical_spec, check_values, spec_digest
from setpoint.experiments.planning.changes import next_id, spec_changes
from setpoint.experiments.planning.datasets import canonical_datasets, find_datasets
from setpoint.experiments.planning.spec import ExperimentSpec, SingleSpec, SweepSpec, planned_spec
from setpoint.experiments.planning.start_adapters import canonical_place
from setpoint.experiments.running.status import require_plan
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.base_report import require_served
from setpoint.records.plan import Plan, read_plan


@dataclass(frozen=True, slots=True)
class Lineage:
    """Predecessor of an experiment that was started with --accept-changes.

    Attributes:
        origin: id of the first experiment in the chain.
        experiment: id of the direct predecessor.
        changes: differences from `experiment`, one phrase each.
    """

    origin: str
    experiment: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A canonical specification with the id of its experiment.

    Attributes:
        existing: frozen plan, if the experiment exists.
        follows: predecessor and differences, if the experiment succeeds another one.
    """

    workspace: Workspace
    experiment_id: str
    spec: ExperimentSpec
    base: BaseModel
    existing: Plan | None
    follows: Lineage | None = None

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return self.workspace.experiment(self.experiment_id)


def make_request(
    workspace: Workspace,
    spec: ExperimentSpec,
    *,
    experiment_id: str | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
) -> Request:
    """Validate `spec` and determine the experiment that it denotes. Writes nothing to disk.

    Args:
        fresh: always start a new experiment.
        accept_changes: start a successor if the id belongs to another specification.

    Raises:
        InputError: the specification is invalid, or the id belongs to another specification.
    """
    findings = Findings()
    base: BaseModel | None = None
    with findings.check():
        spec = canonical_spec(spec)
    with findings.check():
        spec = canonical_datasets(spec)
    with findings.check():
        base = resolve_base(spec.base_model)
    with findings.check():
        check_identifier("an experiment id", spec.type if experiment_id is None else experiment_id)
    if base is not None and not findings.errors:
        with findings.check():
            check_values(spec, base.preset)
        with findings.check():
            find_datasets(workspace, spec)
    findings.settle()
    assert base is not None
    spec = spec.model_copy(update={"base_model": base.name})
    if isinstance(spec, SingleSpec) and spec.start_from is not None:
        spec = spec.model_copy(update={"start_from": canonical_place(workspace, spec.start_from)})
    identifier = experiment_id or f"{_kind(spec)}-{spec_digest(spec)}"
    if fresh:
        identifier = _free_id(workspace, identifier)
    existing = read_plan(workspace.experiment(identifier))
    if existing is not None and isinstance(spec, SweepSpec) and spec.search is not None:
        spec = _continued(spec, planned_spec(existing))
    if existing is None:
        require_served(base, spec.systems)
    wanted = Request(workspace, identifier, spec, base, existing)
    changes = [] if existing is None else spec_changes(planned_spec(existing), spec)
    if not changes:
        return wanted
    if accept_changes:
        return successor(wanted, changes)
    option = "--run-id" if spec.type == "single" else "--experiment-id"
    raise InputError(
        f"experiment {identifier!r} exists with another specification: {'; '.join(changes)}. "
        f"Choose another {option}, or use --accept-changes to start a successor, or --fresh."
    )


def _continued(spec: SweepSpec, existing: ExperimentSpec) -> SweepSpec:
    """Return a search with the trials of the existing experiment."""
    assert spec.search is not None
    if not isinstance(existing, SweepSpec) or existing.search is None:
        return spec
    search = spec.search.model_copy(update={"reused": existing.search.reused})
    return spec.model_copy(update={"points": existing.points, "search": search})


def _kind(spec: ExperimentSpec) -> str:
    """Return the first part of an id: `confirmation` for a sweep that confirms another one, `search`, else the type."""
    if not isinstance(spec, SweepSpec):
        return spec.type
    return "confirmation" if spec.confirms else "search" if spec.search else spec.type


def successor(request: Request, changes: Sequence[str]) -> Request:
    """Return the request under the next free id, for an experiment that cannot continue because of `changes`."""
    earlier = request.experiment_id if request.existing is None else request.existing.origin
    origin = request.follows.origin if request.follows else earlier
    identifier, existing = next_id(request.workspace, origin, request.experiment_id, request.spec)
    follows = Lineage(origin, request.experiment_id, tuple(changes))
    return replace(request, experiment_id=identifier, existing=existing, follows=follows)


def resume_request(workspace: Workspace, experiment_id: str) -> Request:
    """Return the request that resumes an existing experiment.

    Raises:
        InputError: there is no such experiment.
    """
    plan = require_plan(workspace, experiment_id)
    return make_request(workspace, planned_spec(plan), experiment_id=experiment_id)


def _free_id(workspace: Workspace, identifier: str) -> str:
    number = 1
    candidate = identifier
    while workspace.experiment(candidate).exists():
        number += 1
        candidate = f"{identifier}-{number}"
    return candidate
