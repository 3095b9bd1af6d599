"""The data sets of an experiment: which it names, which exist, and generating those that are missing."""

from collections.abc import Callable

from setpoint import demonstrations, problems
from setpoint.artifacts import Workspace
from setpoint.demonstrations import names
from setpoint.errors import InputError, collect
from setpoint.experiments.planning.spec import ExperimentSpec
from setpoint.problems import MoveBlocking
from setpoint.records.plan import NamedDigest

NOT_GENERATED = "not generated yet"
"""Stands for the digest of a data set that the launch will generate."""

Notify = Callable[[str], None]


def canonical_datasets(spec: ExperimentSpec) -> ExperimentSpec:
    """`spec` with canonical names, and without those that only name the systems' own data, as no name at all does.

    Raises:
        InputError: names that cannot be used.
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


def find_datasets(workspace: Workspace, spec: ExperimentSpec, blocking: MoveBlocking) -> dict[str, NamedDigest]:
    """System -> data set, without generating any; a missing one that can be generated has the digest `NOT_GENERATED`.

    Raises:
        InputError: every data set that is missing and cannot be generated, or lacks its systems.
    """
    found: dict[str, NamedDigest] = {}
    wrong: list[InputError] = []
    for name, wanted in _requests(spec):
        parsed = (names.joined(wanted) if name is None else names.parse(name)).of_expert(spec.expert)
        folder = parsed.folder(blocking)
        missing = parsed.systems and not (workspace.datasets / folder).is_dir()
        try:
            for system in wanted:
                blocking.require_horizon(system, problems.get(system).steps)
            if missing and set(wanted) <= set(parsed.systems):
                found |= dict.fromkeys(wanted, NamedDigest(name=folder, digest=NOT_GENERATED))
                continue
            info = demonstrations.ensure(workspace, name, wanted, expert=spec.expert, blocks=blocking)
            found |= dict.fromkeys(wanted, NamedDigest(name=info.name, digest=info.digest))
        except InputError as error:
            wrong.append(error)
    collect(wrong)
    return found


def ensure_datasets(
    workspace: Workspace, spec: ExperimentSpec, blocking: MoveBlocking, notify: Notify
) -> dict[str, NamedDigest]:
    """System -> data set, all of them on the disk when this returns.

    Raises:
        InputError: see `find_datasets`; nothing was generated then.
    """
    for system, data in find_datasets(workspace, spec, blocking).items():
        if data.digest == NOT_GENERATED:
            notify(f"generating data set {data.name} for {system}")
    made: dict[str, NamedDigest] = {}
    for name, wanted in _requests(spec):
        info = demonstrations.ensure(workspace, name, wanted, expert=spec.expert, blocks=blocking)
        made |= dict.fromkeys(wanted, NamedDigest(name=info.name, digest=info.digest))
    return made


def _requests(spec: ExperimentSpec) -> list[tuple[str | None, tuple[str, ...]]]:
    """Name of a data set (None: the systems' own) and the systems it serves."""
    if spec.dataset_name is not None:
        return [(spec.dataset_name, spec.systems)]
    given: tuple[str | None, ...] = spec.datasets or (None,) * len(spec.systems)
    return [(name, (system,)) for name, system in zip(given, spec.systems, strict=True)]
