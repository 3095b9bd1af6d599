"""JSON schemas of the files that people write, and a commented specification to start from."""

from pathlib import Path
from typing import Any

from setpoint import plants
from setpoint.artifacts import write_json, write_text
from setpoint.errors import InputError, shown
from setpoint.execution.slurm.profile import Profile
from setpoint.experiments.planning import spec_schema
from setpoint.experiments.planning.starter import SCHEMA_FILE, starter


def specification_schema(systems: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return the JSON schema of specification files, which proposes `systems` (default: all that are installed)."""
    return spec_schema.specification_schema(plants.names() if systems is None else systems)


def profile_schema() -> dict[str, Any]:
    """Return the JSON schema of SLURM cluster profiles."""
    schema = spec_schema.described(Profile)
    anything = {"type": ["string", "number", "boolean", "null"]}
    schema["properties"]["options"]["additionalProperties"] = anything
    schema["properties"]["environment"]["additionalProperties"] = {"type": ["string", "number"]}
    return {"$schema": spec_schema.DRAFT, **schema, "title": "Setpoint cluster profile"}


def start_specification(file: Path, experiment_type: str, systems: tuple[str, ...] = ()) -> Path:
    """Write a commented specification, with its JSON schema beside it; return the path of the schema.

    Raises:
        InputError: the file exists, its folder does not, or a name is unknown.
    """
    names = tuple(plants.canonical(name) for name in systems)
    text = starter(experiment_type, names)
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {shown(str(file.parent))}. Create it first.")
    if file.is_symlink() or file.exists():
        raise InputError(f"{shown(str(file))} exists already. Choose another name, or delete it first.")
    schema = file.with_name(SCHEMA_FILE)
    write_json(schema, specification_schema())
    write_text(file, text)
    return schema
