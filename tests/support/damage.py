"""Damage to JSON files: one value of the content replaced by another that does not belong there, or removed."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setpoint.fingerprint import SEAL, sealed

WRONG: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    10**400,
    "",
    "x",
    "..",
    "../../outside",
    "/etc/passwd",
    "a\x1b[31m\nb",
    [],
    [[]],
    {},
    {"x": {}},
    "x" * 5000,
)
TEXTS = (
    b"",
    b"{",
    b"[]",
    b"1",
    b"\xff\xfe",
    b'"\\ud800"',
    b"[" * 100_000,
    b"9" * 5000,
    b'{"x": ' * 200 + b"1" + b"}" * 200,
)
"""Contents of a file that are no JSON object that could be used."""


def places(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value inside `content`."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def damaged(content: Any, rng: random.Random) -> Any:
    """A copy of `content` with one value changed or removed."""
    found = copy.deepcopy(content)
    *parents, last = rng.choice(list(places(found)))
    holder = found
    for key in parents:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(WRONG)
    return found


def damage_file(path: Path, rng: random.Random) -> None:
    """Damage one value of a JSON file, whose seal is renewed where it has one."""
    content = json.loads(path.read_text())
    if isinstance(content, dict) and SEAL in content and "schema" in content:
        whole = {name: value for name, value in content.items() if name != SEAL}
        content = damaged(whole, rng)
        try:
            content = sealed(content)
        except ValueError:  # a number that no digest takes; the old digest is as wrong as any
            content[SEAL] = "0" * 12
    else:
        content = damaged(content, rng)
    path.write_text(json.dumps(content))
