"""Identity is content: canonical JSON, and short digests of it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setpoint.errors import InputError

DIGEST_LENGTH = 12
SEAL = "digest"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, no NaN; integral floats stay floats (`1.0`).

    Raises:
        InputError: `value` holds something JSON cannot carry, or a number that is not finite.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"a configuration must be finite numbers, text, lists and tables, but: {error}") from error


def digest(value: Any, length: int = DIGEST_LENGTH) -> str:
    """The first `length` hexadecimal characters of the sha256 of the canonical JSON of `value`."""
    return text_digest(canonical_json(value), length)


def text_digest(text: str, length: int = DIGEST_LENGTH) -> str:
    """The same of a text that is canonical JSON already."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` with a digest of itself, so that a later change by hand shows."""
    return {**content, SEAL: digest(content)}


def seal_broken(content: Mapping[str, Any]) -> bool:
    """Whether `content` has a digest of itself that does not fit; without one, nothing can be told."""
    return SEAL in content and content[SEAL] != digest({name: v for name, v in content.items() if name != SEAL})


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
