"""Translate pydantic's validation errors in a specification into input errors with a remedy."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from setpoint.errors import InputError, InputErrors, shown, unknown_name
from setpoint.validation import dotted, sentence

Place = tuple[str | int, ...]

_SCALAR_TYPES = frozenset({"bool", "int", "float", "str"})
_REPLACED_BY = {
    ("training_ablation", "training_types"): "`strategies`",
    ("transfer_learning", "systems"): "`source_system` and `target_systems`",
}
"""Experiment type and field -> the fields that determine it in that type."""


def input_errors(error: ValidationError, specs: Mapping[str, type[BaseModel]]) -> list[InputError]:
    """Return one error per finding; input errors raised by our own validators are passed through.

    Args:
        error: validation error of the union of `specs`; the first part of each location is the experiment type.
        specs: experiment type -> class.
    """
    details = error.errors()
    wrong_items = {detail["loc"][:2] for detail in details if len(detail["loc"]) > 2}
    found: list[InputError] = []
    several: set[Place] = set()
    for detail in details:
        place: Place = detail["loc"][1:]
        if detail["type"] == "too_short" and detail["loc"][:2] in wrong_items:
            continue  # follows from the invalid items, which have findings of their own
        if place and place[-1] in _SCALAR_TYPES:  # pydantic reports one finding per member of the union
            if place[:-1] not in several:
                several.add(place[:-1])
                rule = f"must be a single number, flag or word, got {shown(detail['input'])}"
                found.append(InputError(f"{dotted(place[:-1])} {rule}."))
            continue
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, InputErrors):
            found += cause.errors
        else:
            found.append(cause if isinstance(cause, InputError) else _input_error(dict(detail), specs))
    return found


def _input_error(detail: Mapping[str, Any], specs: Mapping[str, type[BaseModel]]) -> InputError:
    if detail["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return unknown_name("experiment type", str(detail["ctx"].get("tag")), specs)
    kind, *place = detail["loc"]
    field = str(place[0]) if place else ""
    fields = specs[kind].model_fields
    if detail["type"] == "extra_forbidden" and len(place) == 1:
        return _foreign(field, kind, specs)
    if detail["type"] == "missing" and len(place) == 1:
        return InputError(f"{kind} needs `{field}`. Set it in the file, or with --{field.replace('_', '-')}.")
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        name = [word for word in place if isinstance(word, str)][-1]
        return unknown_name(_singular(name), detail["input"], re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return InputError(sentence(dotted(place), detail, fields[field].metadata if field in fields else ()))


def _foreign(name: str, kind: str, specs: Mapping[str, type[BaseModel]]) -> InputError:
    """Return the error for a field that the experiment type does not have."""
    if (kind, name) in _REPLACED_BY:
        return InputError(f"`{name}` cannot be combined with {_REPLACED_BY[kind, name]}. Remove `{name}`.")
    owners = [other for other, spec in specs.items() if name in spec.model_fields]
    if owners:
        named = " or ".join(filter(None, [", ".join(owners[:-1]), owners[-1]]))
        return InputError(f"`{name}` belongs to {named}, but the type is {kind!r}. Remove it or set type: {named}.")
    others = {other for spec in specs.values() for other in spec.model_fields}
    return unknown_name("specification field", name, specs[kind].model_fields, aliases=others)


def _singular(field: str) -> str:
    """Return the singular form of a field name, without underscores."""
    words = field.replace("_", " ")
    return "strategy" if words == "strategies" else words.removesuffix("s")
