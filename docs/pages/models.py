"""The fields of a specification and the training parameters, from their models."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from pages.markdown import first_paragraph, page, table
from setpoint.docstrings import attribute_docstrings
from setpoint.experiments.planning.catalogue import parameter_catalogue
from setpoint.experiments.planning.parameters import MODELS
from setpoint.experiments.planning.spec import SPECS, SweepSpec
from setpoint.experiments.planning.spec_fields import METRICS as METRIC_SCALES
from setpoint.experiments.planning.spec_fields import Range, Search
from setpoint.policies import PRESETS

SPECIFICATION = """\
# Specification file

A specification describes one experiment. `--spec FILE.yaml` reads it; `setpoint init` writes a commented one, and the
folder `configs/` has examples. The first line of each names its [JSON
schema](../how_to/everyday.md#specifications-in-an-editor), with which editors complete and check it. Only `systems` is
required (`source_system` and `target_systems` for a transfer). Where a list is expected, a single value
needs no brackets. The file is YAML 1.2: `1e-4` is a number, `010` is 10, and `no` is text. An option on the command
line replaces the field of the file; `--parameters` and `--set` replace only the parameters that they name.

```yaml
type: hyperparameter_sweep
systems: double_integrator
parameters: {lora_rank: [4, 8], learning_rate: [1e-4, 2e-4]}
replicates: 3
```
"""

METRICS = """\

## Metrics

Effects on metrics of the log scale are ratios, effects on metrics of the linear scale are differences.
"""

PARAMETERS = """\
# Training parameters

Every parameter can be swept (`--parameters lora_rank:4,8`) or set for all runs (`--set grpo.temperature=0.8`). A bare
name such as `batch_size` sets the parameter in every stage that has it, `sft.batch_size` in one. A bare `learning_rate`
is the peak rate of the first stage that a run trains. After SFT, the rates of DAgger and GRPO follow from it by
`dagger.learning_rate_ratio` and `grpo.learning_rate_ratio`; `grpo.learning_rate` sets one of them directly.

Defaults belong to the base model: the built-in base has those of the preset `tiny`, another base has those of `small`
if its weights take less than 1 GB on disk, else those of `general`."""

_HEADER = ("field", "value", "default", "meaning")


def specification() -> str:
    """The fields of a specification."""
    metrics = ([f"`{name}`", scale] for name, scale in METRIC_SCALES.items())
    lines = [SPECIFICATION, *_by_type()]
    lines += ["", "## Range", "", *table(_HEADER, _fields(Range))]
    lines += ["", "## Adaptive search", "", *table(_HEADER, _fields(Search))]
    return page(*lines, METRICS, *table(["metric", "scale"], metrics))


def parameters() -> str:
    """The training parameters with their defaults and bounds."""
    catalogues = [parameter_catalogue(preset) for preset in PRESETS.values()]
    lines = [PARAMETERS]
    for group, model in MODELS.items():
        lines += ["", f"## {group}", "", f"{first_paragraph(inspect.getdoc(model))}.", ""]
        rows = (
            [f"`{same[0].name}`", _kind(same[0].schema), *(_value(each.default) for each in same), same[0].meaning]
            for same in zip(*catalogues, strict=True)
            if same[0].group == group
        )
        lines += table(["name", "value", *(f"default, {name}" for name in PRESETS), "meaning"], rows)
    return page(*lines)


def _by_type() -> Iterator[str]:
    """The fields that every type has, then those that only some types have."""
    common = set.intersection(*(set(model.model_fields) for model in SPECS.values())) - {"type"}
    rows = {row[0].strip("`"): row for model in SPECS.values() for row in _fields(model)}
    types, usual = ", ".join(f"`{name}`" for name in SPECS), SweepSpec.model_fields["type"].default
    every = [["`type`", types, f"`{usual}`", "What kind of experiment it is."]]
    yield from ["## Every type", ""]
    yield from table(_HEADER, [*every, *(row for name, row in rows.items() if name in common)])
    yield from ["", "## Some types", ""]
    yield from table(
        ("field", "types", *_HEADER[1:]),
        (
            [row[0], ", ".join(f"`{kind}`" for kind, model in SPECS.items() if name in model.model_fields), *row[1:]]
            for name, row in rows.items()
            if name not in {*common, "type"}
        ),
    )


def _fields(model: type[BaseModel]) -> Iterator[list[str]]:
    """A row for each field of `model`."""
    schema, about = model.model_json_schema(), attribute_docstrings(model)
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _value(field.get("default"))
        yield [f"`{name}`", _kind(field), default, about.get(name, "")]


_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}
_BOUNDS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


_SECTIONS = {"search": "adaptive-search"}
"""Class -> its section, where that has another name: `search` is a page that Sphinx makes."""


def _kind(schema: Mapping[str, Any]) -> str:
    """What a JSON schema accepts."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "anyOf" in schema:
        kinds = dict.fromkeys(_kind(each) for each in schema["anyOf"] if each.get("type") != "null")
        return " or ".join(kinds) if len(kinds) < 3 else "number, word or flag"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2].lower()
        return f"[{name}](#{_SECTIONS.get(name, name)})"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}" if "items" in schema else "list"
    if schema.get("type") == "object":
        return f"table: name → {_kind(schema['additionalProperties'])}"
    bounds = [text.format(f"{schema[name]:,}") for name, text in _BOUNDS.items() if name in schema]
    return ", ".join([_TYPES[schema["type"]], *bounds])


def _value(value: object) -> str:
    """A default as one would write it in YAML."""
    if value is None or value in ([], {}):
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return f"`{value:.0e}`".replace("e-0", "e-")
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
