"""YAML files: what scalars mean, and what is refused, with the line."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.errors import InputError
from setpoint.execution.slurm.profile import read_profile
from setpoint.experiments.planning.spec import read_spec_file
from setpoint.yaml_files import MOST_BYTES, MOST_LEVELS, MOST_VALUES, read_table


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return read_table(path, "a: 1")


def refusal(folder: Path, text: str | bytes) -> str:
    """The message without the path."""
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        read_table(path, "a: 1")
    message = str(caught.value)
    assert message.count("\n") == 0
    assert message.startswith(f"{str(path)!r}")
    assert message.endswith(".")
    return message.removeprefix(f"{str(path)!r}").removeprefix(", ")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1:2:3", "1:2:3"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1e-4", 1e-4),
        ("2.5E-4", 2.5e-4),
        ("1e3", 1000.0),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-31", "2024-01-31"),
        ("=", "="),
        ("'010'", "010"),
        ('"true"', "true"),
        ("! 5", "5"),
        ("!!str 1e-4", "1e-4"),
        ("!!float 1", 1.0),
        ("!!int 010", 10),
        ("|\n  x\n  y\n", "x\ny\n"),
        ("[1, [2, x], {b: ~}]", [1, [2, "x"], {"b": None}]),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(tmp_path: Path, text: str, value: object) -> None:
    found = read(tmp_path, f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_an_empty_file_is_an_empty_table(tmp_path: Path) -> None:
    for text in ("", "\n# nothing\n", "---\n", "{}", "\ufeff"):
        assert read(tmp_path, text) == {}


def test_an_alias_repeats_a_value(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x [1, 2]\nb: *x\nc: {d: *x}\n") == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "systems: di\nseed: 1\nsystems: vdp\n",
            "line 3: duplicate key 'systems' (first in line 1).",
        ),
        ("a:\n  b: 1\n  'b': 2\n", "line 3: duplicate key 'b' (first in line 2). Keep one of them."),
        ("a: 1\n? [a]\n: 1\n", "line 2: a key must be text, got ['a']. Write 'name: value', or quote the key."),
        ("a: 1\n1: 2\n", "line 2: a key must be text, got 1."),
        ("a: {b: 1}\nb: {<<: {c: 2}}\n", "line 2: merge keys (<<) are not part of YAML 1.2."),
        ("a: 1\nb: !!int abc\n", "line 2: 'abc' is not a valid !!int. Correct the value, or remove the tag."),
        ("a: !!bool maybe", "line 1: 'maybe' is not a valid !!bool."),
        ("a: !!python/object:os.system x", "line 1: unknown tag '!!python/object:os.system'. Remove it;"),
        ("a: !mine [1]", "line 1: unknown tag '!mine'."),
        ("a: !!map [1]", "line 1: unknown tag '!!map'."),
        ("a: *x", "line 1: alias 'x' without an anchor before it. Write the value out."),
        ("a: &x [1, *x]", "line 1: the value of alias 'x' contains itself. Write the value out."),
        (BOMB, f"line 5: more than {MOST_VALUES} values, aliases included. Write a smaller table."),
        ("a: " + "[" * 3000, f"line 1: nested more than {MOST_LEVELS} levels deep. Write the table with fewer levels."),
        ("a: b: c", "line 1: not YAML: mapping values are not allowed here. Correct the syntax there, or quote"),
        ("a: 1\nb: [1, 2\n", "line 3: not YAML: while parsing a flow sequence expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", "line 2: not YAML: while scanning for the next token found character"),
        ('a: "\\q"', "line 1: not YAML: while scanning a double-quoted scalar found unknown escape character 'q'."),
        ('a: 1\nb: "\\UFFFFFFFF"', "line 2: not YAML: an escape of an invalid character."),
        ('a: "\\0"', r"line 1: '\x00' contains a character that YAML does not allow. Remove it."),
        ('a: "\\uD800"', r"line 1: '\ud800' contains a character that YAML does not allow. Remove it."),
        ("a: 1\nb: \x07", r"line 2: not YAML: the character '\x07'. Remove it."),
        (b"a: 1\nb: \xff", "line 2: not UTF-8 text. Save the file as UTF-8."),
        ("a: 1\n---\nb: 2\n", "line 2: a second document starts here. Put each table into its own file."),
        ("- a\n- b\n", "line 1: expected a table such as 'a: 1', got ['a', 'b']."),
        ("text", "line 1: expected a table such as 'a: 1', got 'text'."),
        ("a: " + "9" * 5000, "line 1: a number with 5000 digits is too long. Give a smaller one, or quote it."),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(says)
    assert len(message) < 300


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(InputError) as caught:
        read_table(path, "a: 1")
    assert str(caught.value) == f"cannot read {str(path)!r}: larger than 1 MB. Check the path."


def test_a_message_cuts_what_was_written(tmp_path: Path) -> None:
    for text in (
        f"{'k' * 5000}: 1\n" * 2,
        f"a: !{'t' * 5000} 1",
        f"a: !!int {'x' * 5000}",
        f"a: *{'x' * 5000}",
        "x" * 9999,
    ):
        assert len(refusal(tmp_path, text)) < 300


def test_a_large_file_is_read_or_refused_in_bounded_time(tmp_path: Path) -> None:
    started = time.monotonic()
    refusal(tmp_path, "a: [" + "1," * (MOST_BYTES // 2 - 10) + "1]")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("read_file", [read_spec_file, read_profile])
def test_specifications_and_profiles_are_read_alike(read_file: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    for text, says in (
        ("a: " + "[" * 99, r"deep\.yaml', line 1: nested more"),
        ("a: 1\na: 2", "line 2: duplicate key"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=says):
            read_file(path)
    with pytest.raises(InputError, match=r"cannot read '.*none\.yaml': no such file or directory\. Check the path\."):
        read_file(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"cannot read .*: is a directory\."):
        read_file(tmp_path)


PIECES = st.sampled_from(
    [
        *"[]{},:?-!&*#|>'\"%@`\\ \n\t",
        "a",
        "b: ",
        "010",
        "1e5",
        "&x ",
        "*x",
        "!!int ",
        "<<: ",
        "? ",
        "---\n",
        "...\n",
        "~",
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(PIECES, max_size=30).map("".join).map(str.encode), st.binary(max_size=60)))
def test_any_bytes_are_a_table_or_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    limit = sys.getrecursionlimit()
    try:
        assert isinstance(read_table(path, "a: 1"), dict)
    except InputError as error:
        assert str(error).count("\n") == 0
    assert sys.getrecursionlimit() == limit
