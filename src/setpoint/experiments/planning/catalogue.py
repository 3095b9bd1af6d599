"""All training parameters with what they accept, their defaults and their meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from setpoint.docstrings import attribute_docstrings
from setpoint.experiments.planning.parameters import MODELS, RATE_RATIO
from setpoint.policies import BasePreset

_BOUNDS = {"minimum": "≥ {:,}", "exclusiveMinimum": "> {:,}", "maximum": "≤ {:,}", "exclusiveMaximum": "< {:,}"}


@dataclass(frozen=True)
class ParameterEntry:
    """One training parameter.

    Attributes:
        name: its canonical name, such as `lora_rank` or `grpo.temperature`.
        schema: JSON schema of its values.
        default: value for the base model; None if it has none.
        meaning: one line.
    """

    group: str
    name: str
    schema: Mapping[str, Any]
    default: object
    meaning: str

    @property
    def accepts(self) -> str:
        """What the parameter accepts, as text: its words, or its type and bounds."""
        return _accepted(self.schema)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON values."""
        return {"name": self.name, "accepts": self.accepts, "default": self.default, "meaning": self.meaning}


def parameter_catalogue(preset: BasePreset) -> list[ParameterEntry]:
    """Return every parameter that can be set or swept, with the defaults of a base model."""
    return [
        ParameterEntry(
            group=group,
            name=f"lora_{field}" if group == "lora" else f"{group}.{field}",
            schema=schema,
            default=_default(preset, group, field, schema),
            meaning=meanings.get(field, ""),
        )
        for group, model in MODELS.items()
        for meanings in (attribute_docstrings(model),)
        for field, schema in model.model_json_schema()["properties"].items()
    ]


def _default(preset: BasePreset, group: str, field: str, schema: Mapping[str, Any]) -> object:
    if field == RATE_RATIO:
        return float(f"{preset.rate_ratio(group):.3g}")
    found: object = getattr(preset, group).get(field, schema.get("default"))
    return found


def _accepted(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_accepted(each) for each in schema["anyOf"] if each.get("type") != "null"))
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema]
    words = {"string": "text", "boolean": "true or false"}
    return f"{words.get(schema['type'], schema['type'])} {', '.join(bounds)}".rstrip()
