"""What changed between an experiment as it was planned and as it would be planned now, and the id of its successor."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.spec import ExperimentSpec, planned_spec
from setpoint.experiments.planning.stages import STAGES
from setpoint.problems.suites import DEFAULT_CASES
from setpoint.records.plan import Plan, read_plan


class ChangedSinceError(InputError):
    """An experiment that was planned with another specification, base, data or code.

    Attributes:
        changes: what differs, one phrase each.
    """

    def __init__(self, message: str, changes: Sequence[str]) -> None:
        """Keep `changes`, so that the successor can record them."""
        self.changes = tuple(changes)
        super().__init__(message)


def spec_changes(old: ExperimentSpec, new: ExperimentSpec) -> list[str]:
    """`field was x, now y` for every field, or entry of one, that differs and changes what is computed.

    Fields that only one of two types has follow from the type, which is named.
    """
    before, after = (spec.model_dump(mode="json", exclude={"retries"}) for spec in (old, new))
    return [
        f"{name} was {was}, now {now}"
        for field in before
        if field in after and before[field] != after[field]
        for name, was, now in _differences(field, before[field], after[field])
    ]


def _differences(field: str, before: Any, after: Any) -> Iterator[tuple[str, str, str]]:
    """Name, earlier and present value; of a table, entry by entry, under the names of the entries."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield field, _shown(field, before), _shown(field, after)
        return
    for name in dict.fromkeys([*before, *after]):
        if name not in before or name not in after or before[name] != after[name]:
            yield name, *(_shown(name, values.get(name)) for values in (before, after))


def plan_changes(old: Plan, new: Plan) -> list[str]:
    """What stage ids depend on and is not in the specification."""
    changed = [] if old.base.digest == new.base.digest else [f"the base model ({old.base.digest}, {new.base.digest})"]
    changed += [
        f"the data of {system} ({old.datasets[system].digest}, {new.datasets[system].digest})"
        for system in old.datasets
        if old.datasets[system].digest != new.datasets[system].digest
    ]
    before, after = old.code, new.code
    changed += [
        f"the code of {kind} stages ({_code_changes(before.get(kind), after[kind])})"
        for kind in STAGES
        if before.get(kind) != after[kind]
    ]
    return changed or ["the identity of its stages"]


def next_id(workspace: Workspace, origin: str, current: str, spec: ExperimentSpec) -> tuple[str, Plan | None]:
    """The id after `current` in the row `origin`, `origin-2`, …, that is free or has `spec` already; and its plan."""
    match = re.fullmatch(re.escape(origin) + r"-(\d+)", current)
    for number in count(int(match[1]) + 1 if match else 2):
        candidate = f"{origin}-{number}"
        if not workspace.experiment(candidate).exists():
            return candidate, None
        plan = read_plan(workspace.experiment(candidate))
        if plan is not None and planned_spec(plan).identity() == spec.identity():
            return candidate, plan
    raise AssertionError("there is always another number")


def _code_changes(recorded: object, new: Mapping[str, Any]) -> str:
    """`training; torch 2.12.0, now 2.13.0`: the layers whose sources differ, and the packages."""
    if not isinstance(recorded, Mapping):
        return "which the plan did not record in detail"
    old: Mapping[str, Any] = recorded
    layers, packages = old.get("layers", {}), old.get("packages", {})
    changed = [", ".join(name for name, found in new["layers"].items() if layers.get(name) != found)]
    changed += [
        f"{name} {packages.get(name)}, now {found}"
        for name, found in new["packages"].items()
        if packages.get(name) != found
    ]
    return "; ".join(filter(None, changed)) or f"version {old.get('version')}, now {new['version']}"


def _shown(name: str, value: Any) -> str:
    if value is None:
        return f"default ({DEFAULT_CASES})" if name == "evaluation_cases" else "not given"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
