"""Canonical JSON and its digests, which identify content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from setpoint.errors import InputError
from setpoint.regular_files import open_regular

DIGEST_LENGTH = 12
SEAL = "digest"
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the canonical JSON of `value`: sorted keys, no spaces, no NaN; integral floats stay floats (`1.0`).

    Raises:
        InputError: `value` has a type that JSON does not support, or a number that is not finite.
    """
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"a configuration may only have finite numbers, text, lists and tables: {error}") from error


def digest(value: Any, length: int = DIGEST_LENGTH) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of the canonical JSON of `value`."""
    return text_digest(canonical_json(value), length)


def text_digest(text: str, length: int = DIGEST_LENGTH) -> str:
    """Return the same digest for a text that already is canonical JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` with its own digest, so that later manual changes are detected."""
    return {**content, SEAL: digest(content)}


def seal_broken(content: Mapping[str, Any]) -> bool:
    """Return whether `content` has a digest that does not match; False without a digest."""
    return SEAL in content and content[SEAL] != digest({name: v for name, v in content.items() if name != SEAL})


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
