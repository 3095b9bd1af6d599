"""Differences between an experiment's frozen plan and a new one, and the id of its successor."""

import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.spec import ExperimentSpec, planned_spec
from setpoint.experiments.planning.stages import STAGES
from setpoint.problems.suites import DEFAULT_CASES
from setpoint.records.plan import CodeIdentity, Plan, read_plan


class ChangedSinceError(InputError):
    """The experiment was planned with a different specification, base model, dataset or code.

    Attributes:
        changes: one phrase per difference.
    """

    def __init__(self, message: str, changes: Sequence[str]) -> None:
        """Store `changes` for the successor to record."""
        self.changes = tuple(changes)
        super().__init__(message)


def spec_changes(old: ExperimentSpec, new: ExperimentSpec) -> list[str]:
    """Return `field was x, now y` for each field or table entry that differs and affects results.

    If the types differ, only the type and the fields that both have are compared.
    """
    before, after = (spec.model_dump(mode="json", exclude={"retries", "points"}) for spec in (old, new))
    return [
        f"{name} was {was}, now {now}"
        for field in before
        if field in after and before[field] != after[field]
        for name, was, now in _differences(field, before[field], after[field])
    ]


def _differences(field: str, before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, old value and new value; tables are compared entry by entry."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield field, _shown(field, before), _shown(field, after)
        return
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after or before[name] != after[name]:
            yield name, *(_shown(name, values.get(name)) for values in (before, after))


def plan_changes(old: Plan, new: Plan) -> list[str]:
    """Return the differences in base model, datasets and code, which stage ids depend on."""
    changed = (
        [] if old.base.digest == new.base.digest else [f"the base model ({old.base.digest}, now {new.base.digest})"]
    )
    changed += [
        f"the dataset of {system} ({old.datasets[system].digest}, now {new.datasets[system].digest})"
        for system in old.datasets
        if old.datasets[system].digest != new.datasets[system].digest
    ]
    before, after = old.code, new.code
    changed += [
        f"the code of {kind} stages ({_code_changes(before.get(kind), after[kind])})"
        for kind in STAGES
        if before.get(kind) != after[kind]
    ]
    return changed or ["the identities of its stages"]


def next_id(workspace: Workspace, origin: str, current: str, spec: ExperimentSpec) -> tuple[str, Plan | None]:
    """Return the next id after `current` in `origin`, `origin-2`, … that is free or has `spec`, and its plan."""
    match = re.fullmatch(re.escape(origin) + r"-(\d+)", current)
    for number in count(int(match[1]) + 1 if match else 2):
        candidate = f"{origin}-{number}"
        if not workspace.experiment(candidate).exists():
            return candidate, None
        plan = read_plan(workspace.experiment(candidate))
        if plan is not None and planned_spec(plan).identity() == spec.identity():
            return candidate, plan
    raise AssertionError("count() never ends")


def _code_changes(recorded: CodeIdentity | None, new: CodeIdentity) -> str:
    return "details not recorded in the plan" if recorded is None else recorded.changes(new)


def _shown(name: str, value: Any) -> str:
    if value is None:
        return f"default ({DEFAULT_CASES})" if name == "evaluation_cases" else "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
