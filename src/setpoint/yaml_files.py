"""Reader of tables in YAML 1.2 files, such as specifications and cluster profiles.

PyYAML parses the syntax. Scalars are resolved here by the core schema of YAML 1.2.2, section 10.3: PyYAML follows
YAML 1.1, where `010` is 8, `1:2:3` is 3723 and `no` is false. The 1.2 loader of ruamel.yaml would add a dependency and
still need our limits on depth, size and aliases.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from setpoint.errors import InputError, refusal_of, shown
from setpoint.regular_files import read_regular

MOST_BYTES = 1_000_000
MOST_LEVELS = 32
MOST_VALUES = 100_000
"""Counted after expanding aliases, so that a few lines cannot expand to gigabytes."""

_CORE = "tag:yaml.org,2002:"
_SYNTAX = "Correct the syntax there, or quote the text."
_MERGE = "merge keys (<<) are not part of YAML 1.2. Write the entries out, or repeat a whole value with an alias."


def read_table(path: Path, example: str) -> dict[str, Any]:
    """Read the table in a YAML file as plain Python values; an empty file is an empty table.

    Args:
        example: line of such a table, for the error message.

    Raises:
        InputError: the file cannot be read, is not YAML 1.2, is not a single table, has a duplicate key, or is too
            large or too deeply nested. The message has the line number.
    """
    text = _text(path)
    try:
        return _Document(text).table(example)
    except _RefusedError as error:
        raise InputError(f"{shown(str(path))}, line {error.line}: {error.rule}") from error


def _text(path: Path) -> str:
    try:
        content = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise InputError(f"cannot read {shown(str(path))}: {refusal_of(error)}. Check the path.") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{shown(str(path))}, line {line}: not UTF-8 text. Save the file as UTF-8.") from error


class _RefusedError(Exception):
    """An unusable part of a file.

    Attributes:
        line: line number, from 1.
        rule: the error and the remedy.
    """

    def __init__(self, line: int, rule: str) -> None:
        self.line = line
        self.rule = rule
        super().__init__(rule)


@dataclass(frozen=True, slots=True)
class _Node:
    """A value with its size and depth after expanding aliases."""

    value: Any
    size: int = 1
    depth: int = 0


def _whole(text: str) -> int:
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _real(text: str) -> float:
    return float(re.sub(r"\.(?=[in])", "", text.lower()))  # Python has no dot in inf and nan


_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text[0] in "tT"),
    "int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), _whole),
    "float": (
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        ),
        _real,
    ),
    "str": (re.compile(r".*", re.DOTALL), str),
}
"""Tag -> pattern of its plain scalars, and their parser. The first match applies, see YAML 1.2.2, 10.3.2."""


class _Document:
    """The single document of a text, built from the events of PyYAML's parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._line = 1
        self._events = self._parsed()
        self._anchors: dict[str, _Node | None] = {}
        """None while the node is being read."""

    def table(self, example: str) -> dict[str, Any]:
        """Return the document as a table.

        Raises:
            _RefusedError: the document is not a table, or a part of it is unusable.
        """
        next(self._events)  # start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return {}
        value = self._node(next(self._events), 0).value
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise _RefusedError(1, f"expected a table such as '{example}', got {shown(value)}.")
        next(self._events)  # end of the document
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise self._refused("a second document starts here. Put each table into its own file.")
        return value

    def _parsed(self) -> Iterator[yaml.Event]:
        try:
            for event in yaml.parse(self._text, Loader=yaml.SafeLoader):
                assert event.start_mark is not None
                self._line = event.start_mark.line + 1
                yield event
        except ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            raise _RefusedError(line, f"not YAML: the character {chr(error.character)!r}. Remove it.") from error
        except yaml.MarkedYAMLError as error:
            line = self._line if error.problem_mark is None else error.problem_mark.line + 1
            what = " ".join(filter(None, [error.context, error.problem]))[:100]
            raise _RefusedError(line, f"not YAML: {what}. {_SYNTAX}") from error
        except (ValueError, OverflowError) as error:  # PyYAML passes the number of an escape to chr() unchecked
            raise self._refused(f"not YAML: an escape of an invalid character. {_SYNTAX}") from error

    def _refused(self, rule: str) -> _RefusedError:
        return _RefusedError(self._line, rule)

    def _node(self, event: yaml.Event, level: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, level)
        assert isinstance(event, yaml.NodeEvent)
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = _Node(self._scalar(event))
        else:
            assert isinstance(event, yaml.CollectionStartEvent)
            node = self._collection(event, level + 1)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, level: int) -> _Node:
        name = event.anchor or ""
        if name not in self._anchors:
            raise self._refused(f"alias {shown(name)} without an anchor before it. Write the value out.")
        node = self._anchors[name]
        if node is None:
            raise self._refused(f"the value of alias {shown(name)} contains itself. Write the value out.")
        self._require_shallow(level + node.depth)
        return node

    def _collection(self, event: yaml.CollectionStartEvent, level: int) -> _Node:
        self._require_shallow(level)
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in {None, "!", _CORE + ("map" if mapping else "seq")}:
            raise self._refused(_bad_tag(event.tag))
        return self._mapping(level) if mapping else self._sequence(level)

    def _sequence(self, level: int) -> _Node:
        children = []
        size = 1
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            children.append(self._node(event, level))
            size += children[-1].size
            self._require_small(size)
        return _Node([child.value for child in children], size, _depth(children))

    def _mapping(self, level: int) -> _Node:
        children: dict[str, _Node] = {}
        first_in: dict[str, int] = {}
        size = 1
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = self._line
            key = self._key(event, level)
            if key in children:
                raise _RefusedError(
                    line, f"duplicate key {shown(key)} (first in line {first_in[key]}). Keep one of them."
                )
            first_in[key] = line
            children[key] = self._node(next(self._events), level)
            size += 1 + children[key].size
            self._require_small(size)
        return _Node({key: child.value for key, child in children.items()}, size, _depth(children.values()))

    def _key(self, event: yaml.Event, level: int) -> str:
        line = self._line
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
            raise self._refused(_MERGE)
        key = self._node(event, level).value
        if not isinstance(key, str):
            raise _RefusedError(line, f"a key must be text, got {shown(key)}. Write 'name: value', or quote the key.")
        return key

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        assert event.implicit is not None
        if re.search("[\0\ud800-\udfff]", text):
            raise self._refused(f"{shown(text)} contains a character that YAML does not allow. Remove it.")
        if event.tag in {None, "!"}:
            plain = event.tag is None and event.implicit[0]
            tag = next(tag for tag, (form, _) in _SCALARS.items() if form.fullmatch(text)) if plain else "str"
        else:
            tag = event.tag.removeprefix(_CORE)
            if tag not in _SCALARS or not event.tag.startswith(_CORE):
                raise self._refused(_bad_tag(event.tag))
            if not _SCALARS[tag][0].fullmatch(text):
                raise self._refused(f"{shown(text)} is not a valid !!{tag}. Correct the value, or remove the tag.")
        try:
            return _SCALARS[tag][1](text)
        except ValueError as error:  # Python rejects integers of more than 4300 digits
            raise self._refused(
                f"a number with {len(text)} digits is too long. Give a smaller one, or quote it."
            ) from error

    def _require_shallow(self, level: int) -> None:
        if level > MOST_LEVELS:
            raise self._refused(f"nested more than {MOST_LEVELS} levels deep. Write the table with fewer levels.")

    def _require_small(self, size: int) -> None:
        if size > MOST_VALUES:
            raise self._refused(f"more than {MOST_VALUES} values, aliases included. Write a smaller table.")


def _depth(children: Iterable[_Node]) -> int:
    return 1 + max((child.depth for child in children), default=0)


def _bad_tag(tag: str) -> str:
    name = f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag
    return f"unknown tag {shown(name)}. Remove it; to make a value text, quote it."
