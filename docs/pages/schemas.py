"""The JSON schemas of the files that people write, for editors."""

from typing import Any

from setpoint.api.schemas import profile_schema, specification_schema
from setpoint.artifacts.atomic import json_text
from setpoint.plants.registry import shipped_names


def specification_file() -> str:
    """The schema of specification files, with the systems of this package."""
    return _text(specification_schema(shipped_names()), "specification")


def profile_file() -> str:
    """The schema of cluster profiles."""
    return _text(profile_schema(), "profile")


def _text(schema: dict[str, Any], what: str) -> str:
    return json_text({"$comment": f"Written by docs/generate.py, as `setpoint schema {what}` prints it.", **schema})
