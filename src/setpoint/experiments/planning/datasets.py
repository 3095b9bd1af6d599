"""Datasets of an experiment: resolve their names, find them, and generate missing ones."""

from collections.abc import Callable

from setpoint import demonstrations, problems
from setpoint.artifacts import Workspace
from setpoint.demonstrations import names
from setpoint.errors import InputError, collect
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.problems import COARSE_TO_FINE
from setpoint.records.plan import NamedDigest

NOT_GENERATED = "not generated yet"
"""Placeholder for the digest of a dataset that the launch will generate."""

Notify = Callable[[str], None]


def canonical_datasets(spec: ExperimentSpec) -> ExperimentSpec:
    """Return `spec` with canonical dataset names; names of the systems' default datasets are removed as redundant.

    Raises:
        InputError: invalid names.
    """
    if spec.dataset_name is not None:
        parsed = names.parse(spec.dataset_name).of_expert(spec.expert)
        own = parsed == names.joined(spec.systems, parsed.expert) and len(spec.systems) == 1
        return spec.model_copy(update={"dataset_name": None if own else parsed.text, "expert": parsed.expert})
    texts = []
    for system, name in zip(spec.systems, spec.datasets, strict=False):
        parsed = names.parse(name).of_expert(spec.expert)
        texts.append(system if parsed == names.joined((system,), spec.expert) else name)
    return spec.model_copy(update={"datasets": () if texts == list(spec.systems) else tuple(texts)})


def renamed_datasets(spec: ExperimentSpec) -> dict[str, str]:
    """Return given name -> canonical name, for the names of datasets that stand for another name.

    Raises:
        InputError: invalid names.
    """
    given = [spec.dataset_name] if spec.dataset_name is not None else list(spec.datasets)
    parsed = {name: names.parse(name).of_expert(spec.expert).text for name in given if name is not None}
    return {name: text for name, text in parsed.items() if text != name}


def find_datasets(workspace: Workspace, spec: ExperimentSpec) -> dict[str, NamedDigest]:
    """Return system -> dataset without generating any. A missing one that can be generated has digest `NOT_GENERATED`.

    Raises:
        InputError: every dataset that is missing and cannot be generated, or lacks a required system.
    """
    found: dict[str, NamedDigest] = {}
    errors: list[InputError] = []
    for name, wanted in _requests(spec):
        parsed = (names.joined(wanted) if name is None else names.parse(name)).of_expert(spec.expert)
        folder = parsed.folder(COARSE_TO_FINE)
        missing = parsed.systems and not (workspace.datasets / folder).is_dir()
        try:
            for system in wanted:
                COARSE_TO_FINE.require_horizon(system, problems.get(system).steps)
            if missing and set(wanted) <= set(parsed.systems):
                found |= dict.fromkeys(wanted, NamedDigest(name=folder, digest=NOT_GENERATED))
                continue
            info = demonstrations.ensure(workspace, name, wanted, expert=spec.expert)
            found |= dict.fromkeys(wanted, NamedDigest(name=info.name, digest=info.digest))
        except InputError as error:
            errors.append(error)
    collect(errors)
    return found


def ensure_datasets(workspace: Workspace, spec: ExperimentSpec, notify: Notify) -> dict[str, NamedDigest]:
    """Return system -> dataset, after generating the missing ones.

    Raises:
        InputError: see `find_datasets`; nothing has been generated then.
    """
    for system, data in find_datasets(workspace, spec).items():
        if data.digest == NOT_GENERATED:
            notify(f"generating dataset {data.name} for {system}")
    made: dict[str, NamedDigest] = {}
    for name, wanted in _requests(spec):
        info = demonstrations.ensure(workspace, name, wanted, expert=spec.expert)
        made |= dict.fromkeys(wanted, NamedDigest(name=info.name, digest=info.digest))
    return made


def _requests(spec: ExperimentSpec) -> list[tuple[str | None, tuple[str, ...]]]:
    """Return pairs of dataset name (None: the systems' default) and the systems that use it."""
    if spec.dataset_name is not None:
        return [(spec.dataset_name, spec.systems)]
    given: tuple[str | None, ...] = spec.datasets or (None,) * len(spec.systems)
    return [(name, (system,)) for name, system in zip(given, spec.systems, strict=True)]
