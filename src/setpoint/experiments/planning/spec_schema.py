"""JSON schema of specification files, for editors and other checkers.

It is derived from the classes of `spec` and `parameters`. It describes what each field may hold; rules between fields,
such as one dataset for each system, are checked when a specification is read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from setpoint.docstrings import attribute_docstrings
from setpoint.experiments.planning.parameters import MODELS
from setpoint.experiments.planning.spec import DEFAULT_TYPE, SPECS
from setpoint.experiments.planning.spec_fields import METRICS, SET_BY_SEARCH, TRAINING_TYPE, Range, Search, as_tuple
from setpoint.records.failure import RETRYABLE

DRAFT = "http://json-schema.org/draft-07/schema#"
"""Version of JSON schema that editors support."""
Schema = dict[str, Any]
_KEYWORDS = {"$defs": "definitions", "ge": "minimum", "le": "maximum", "minLength": "minItems"}
"""Keywords of pydantic, which writes bounds below a validator in its own terms -> those of JSON schema."""


class AsRead(GenerateJsonSchema):
    """Describe values as the validators accept them: a list of one item may be written without brackets."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Return the schema of the field, or of a single item."""
        found = super().function_before_schema(schema)
        return {"anyOf": [found["items"], found]} if schema["function"]["function"] is as_tuple else found

    def get_title_from_name(self, name: str) -> str:
        """Return the name itself."""
        return name


def specification_schema(systems: Sequence[str]) -> Schema:
    """Return the JSON schema of specification files.

    Args:
        systems: names to propose; others are accepted, because plug-ins may provide them.
    """
    definitions: Schema = {name: _type_schema(name, model) for name, model in SPECS.items()}
    definitions |= {
        "range": described(Range),
        Search.__name__: described(Search),
        "system": {"anyOf": [{"enum": list(systems)}, {"type": "string"}], "description": "A system, by any name."},
        "parameters": _by_parameter(lambda value: {"anyOf": [value, {"type": "array", "items": value}]}),
        "fixed": _by_parameter(lambda value: value),
        "ranges": _by_parameter(lambda _: {"$ref": "#/definitions/range"}),
        "conditions": _by_parameter(lambda _: {"$ref": "#/definitions/condition"}),
        "condition": _condition(),
        **{f"{group}.{field}": value for group, field, value in _places()},
    }
    given = {"properties": {"type": True}, "required": ["type"]}
    return {
        "$schema": DRAFT,
        "title": "Setpoint experiment",
        "description": "Specification of one experiment, for `setpoint experiment run --spec FILE.yaml`.",
        "type": "object",
        "properties": {"type": {"enum": list(SPECS), "default": DEFAULT_TYPE}},
        "allOf": [
            {"if": {"not": given}, "then": {"$ref": f"#/definitions/{DEFAULT_TYPE}"}},
            *(
                {
                    "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                    "then": {"$ref": f"#/definitions/{name}"},
                }
                for name in SPECS
            ),
        ],
        "definitions": definitions,
    }


def described(model: type[BaseModel]) -> Schema:
    """Return the schema of one class, with the docstrings of its fields as descriptions."""
    schema: Schema = _plain(model.model_json_schema(schema_generator=AsRead))
    for name, text in attribute_docstrings(model).items():
        if name in schema.get("properties", {}):
            schema["properties"][name]["description"] = text
    return schema


def _type_schema(name: str, model: type[BaseModel]) -> Schema:
    """Return the schema of one experiment type; tables of parameters are shared by all types."""
    schema = described(model)
    schema.pop("definitions", None)
    schema["title"] = name
    for field in SET_BY_SEARCH:
        schema["properties"].pop(field, None)
    tables = ("parameters", "fixed", "ranges", "conditions")
    replaced: dict[str, Schema] = {table: {"$ref": f"#/definitions/{table}"} for table in tables}
    replaced |= {
        "metrics": _one_or_more({"enum": list(METRICS)}),
        "retries": {"type": "object", "propertyNames": {"enum": sorted(RETRYABLE)}},
        **dict.fromkeys(("systems", "target_systems"), _one_or_more({"$ref": "#/definitions/system"})),
        "source_system": {"$ref": "#/definitions/system"},
    }
    for field, described_as in schema["properties"].items():
        if field in replaced:
            kept = {key: described_as[key] for key in ("description", "default") if key in described_as}
            schema["properties"][field] = {**kept, "allOf": [replaced[field]]}
    return schema


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}]}


def _places() -> list[tuple[str, str, Schema]]:
    """Return group, field and schema of every training parameter."""
    return [
        (group, field, {key: value for key, value in schema.items() if key != "title"})
        for group, model in MODELS.items()
        for field, schema in described(model)["properties"].items()
    ]


def _by_parameter(form: Callable[[Schema], Schema]) -> Schema:
    """Return the schema of a table from parameters, in any of their spellings, to `form` of the parameter's schema."""
    spellings: dict[str, list[str]] = {}
    for group, field, _ in _places():
        for spelling in (f"{group}.{field}", field, f"{group}_{field}"):
            spellings.setdefault(spelling, []).append(f"#/definitions/{group}.{field}")
    references = {name: [{"$ref": place} for place in places] for name, places in spellings.items()}
    values = {name: found[0] if len(found) == 1 else {"anyOf": found} for name, found in references.items()}
    return {
        "type": "object",
        "properties": {name: form(value) for name, value in values.items()},
        "additionalProperties": False,
    }


def _condition() -> Schema:
    """Return the schema of the conditions under which a parameter is swept."""
    table = _by_parameter(lambda value: {"anyOf": [value, {"type": "array", "items": value}]})
    table["properties"][TRAINING_TYPE] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return table


def _plain(value: Any) -> Any:
    """Return a schema of pydantic with the keywords of draft 7, those of `Field` included."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, Mapping):
        return value.replace("#/$defs/", "#/definitions/") if isinstance(value, str) else value
    return {_KEYWORDS.get(key, key): _plain(each) for key, each in value.items()}
