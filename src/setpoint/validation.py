"""Validation errors of pydantic as one sentence with the field, the rule and the value."""

from collections.abc import Iterable, Mapping
from typing import Any

from setpoint.errors import legible, shown

_INTEGER, _NUMBER, _FLAG, _TEXT = "must be an integer", "must be a number", "must be true or false", "must be text"
_TABLE, _LIST = "must be a table of names and values", "must be a list of values"
_RULES = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _INTEGER),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _FLAG),
    **dict.fromkeys(("dict_type", "model_type"), _TABLE),
    **dict.fromkeys(("tuple_type", "list_type"), _LIST),
    "string_type": _TEXT,
    "finite_number": "must be finite",
    "too_short": "must not be empty",
}
"""Error type -> rule, where the text of pydantic is long or names its own types."""

_BOUNDS = {"ge": "at least {}", "gt": "greater than {}", "le": "at most {}", "lt": "less than {}"}
_OUT_OF_BOUNDS = frozenset({"greater_than_equal", "greater_than", "less_than_equal", "less_than"})


def dotted(place: Iterable[str | int]) -> str:
    """Return the dotted name of a field, such as `retries.crash` or `systems.0`; long names of the user are cut."""
    return ".".join(legible(str(part)) for part in place)


def sentence(place: str, finding: Mapping[str, Any], metadata: Iterable[object] = ()) -> str:
    """Return the error at `place` as one line.

    Args:
        place: dotted name of the field; empty for the whole model.
        finding: one of `ValidationError.errors()`. Messages of our own validators are unchanged.
        metadata: metadata of the field with all its bounds; without it, only the violated bound is named.
    """
    kind = finding["type"]
    if kind == "missing":
        return f"{place} is missing."
    if kind == "extra_forbidden":
        return f"{place} does not exist. Remove it."
    if kind == "value_error":
        text = " ".join(str(finding["ctx"]["error"]).split()).rstrip(".")
        return f"{place}: {text}." if place else f"{text}."
    return f"{place} {_rule(kind, finding, metadata)}, got {shown(finding['input'])}."


def _rule(kind: str, finding: Mapping[str, Any], metadata: Iterable[object]) -> str:
    if kind in _OUT_OF_BOUNDS:
        known = {
            name: found for each in metadata for name in _BOUNDS if (found := getattr(each, name, None)) is not None
        }
        bounds = [_BOUNDS[name].format(bound) for name, bound in (known or finding["ctx"]).items()]
        return f"must be {' and '.join(bounds)}"
    if kind == "literal_error":
        return f"must be {finding['ctx']['expected']}"
    message = finding["msg"]
    return _RULES.get(kind) or f"is invalid ({message[:1].lower()}{message[1:]})"
