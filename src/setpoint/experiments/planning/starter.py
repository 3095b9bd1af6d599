"""Commented specification to start from: every field with its meaning, and its default or an example."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from setpoint.docstrings import attribute_docstrings
from setpoint.errors import unknown_name
from setpoint.experiments.planning.spec import SPECS
from setpoint.experiments.planning.spec_fields import SET_BY_SEARCH

SCHEMA_FILE = "setpoint.schema.json"
"""Name of the JSON schema beside a new specification."""
EDITOR_HEADER = "# yaml-language-server: $schema="
"""Start of the first line of a YAML file, by which editors find its JSON schema."""

_SWEPT = {"lora_rank": [4, 8], "learning_rate": [1e-4, 2e-4]}
_CHOSEN: dict[str, dict[str, Any]] = {
    "hyperparameter_sweep": {"systems": ["double_integrator"], "parameters": _SWEPT},
    "cross_system": {"systems": ["double_integrator", "van_der_pol"]},
    "training_ablation": {"systems": ["double_integrator"]},
    "transfer_learning": {"source_system": "double_integrator", "target_systems": ["van_der_pol"]},
}
"""Experiment type -> the fields that a new specification sets, besides three replicates."""
_EXAMPLES: dict[str, str] = {
    "datasets": "[my_dataset]",
    "dataset_name": "my_dataset",
    "fixed": "{sft.steps: 200}",
    "evaluation_cases": "100",
    "retries": "{transient: 5, crash: 0}",
    "parameters": "{lora_rank: [4, 8]}",
    "ranges": "{sft.learning_rate: {min: 1e-4, max: 1e-3, scale: log}}",
    "zipped": "[[sft.batch_size, sft.learning_rate]]",
    "conditions": "{grpo.temperature: {training_type: [both]}}",
    "configurations": "16",
    "search": "{sampler: tpe, trials: 40}",
    "equivalence": "5%",
    "trend": "[lora_rank]",
}
"""Field without a default of its own -> how it is written."""
_WRITTEN_BY_CONFIRM = ("only", "confirms")
TYPES = tuple(_CHOSEN)
"""Experiment types that a specification file can have."""


def starter(experiment_type: str, systems: tuple[str, ...] = ()) -> str:
    """Return the text of a new specification.

    Args:
        systems: systems of the experiment; of a transfer, the source and then its targets. Empty: an example.

    Raises:
        InputError: there is no such experiment type.
    """
    if experiment_type not in _CHOSEN:
        raise unknown_name("experiment type", experiment_type, TYPES)
    model = SPECS[experiment_type]
    chosen = _with_systems(_CHOSEN[experiment_type], systems) | {"replicates": 3}
    about = attribute_docstrings(model)
    lines = [
        f"{EDITOR_HEADER}{SCHEMA_FILE}",
        f"# {' '.join((model.__doc__ or '').split())}",
        "# Lines that begin with '# name:' show the default, or an example where it says so.",
        f"type: {experiment_type}",
    ]
    names = [name for name in model.model_fields if name not in {"type", *_WRITTEN_BY_CONFIRM, *SET_BY_SEARCH}]
    for name in sorted(names, key=lambda name: name not in chosen):  # what is set comes first
        lines += ["", *_field(name, about[name], chosen, model.model_fields[name].default)]
    return "\n".join(lines) + "\n"


def _with_systems(chosen: Mapping[str, Any], systems: tuple[str, ...]) -> dict[str, Any]:
    if not systems:
        return dict(chosen)
    if "source_system" in chosen:
        targets = list(systems[1:]) or chosen["target_systems"]
        return {**chosen, "source_system": systems[0], "target_systems": targets}
    return {**chosen, "systems": list(systems)}


def _field(name: str, meaning: str, chosen: Mapping[str, Any], default: Any) -> Iterator[str]:
    example = name in _EXAMPLES and name not in chosen
    yield from textwrap.wrap(
        f"{meaning}{' Example:' if example else ''}", 100, initial_indent="# ", subsequent_indent="# "
    )
    if name in chosen:
        yield f"{name}: {_flow(chosen[name])}"
    else:
        yield f"# {name}: {_EXAMPLES[name] if example else _flow(default)}"


def _flow(value: Any) -> str:
    """Return `value` in the flow style of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value) if isinstance(value, str) else json.dumps(value)
