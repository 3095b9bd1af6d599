"""Typed access to the fields of a JSON object; errors name file, field and value."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from setpoint.errors import InputError
from setpoint.plain_text import message_line

_LARGEST_WHOLE = 2**53
LARGEST = 1e300
"""Of a number; larger ones would not survive arithmetic."""
_SHOWN = 80
_REQUIRED: Final = object()
Word = TypeVar("Word", bound=str)


class DamagedError(InputError):
    """A file of the workspace has invalid content."""


class Fields:
    """Typed access to a parsed object. Every method takes a field name and raises `DamagedError` for a wrong type."""

    __slots__ = ("_content", "_inside", "_path")

    def __init__(self, content: object, path: Path | str, inside: str = "") -> None:
        """Wrap `content`, which was read from `path`.

        Args:
            inside: dotted name of the field that holds `content`; empty for the whole file.

        Raises:
            DamagedError: `content` is not an object.
        """
        self._path = path
        self._inside = inside
        if not isinstance(content, dict):
            raise DamagedError(f"{str(path)!r} is damaged: {inside or 'it'} must be an object, got {shown(content)}.")
        self._content: dict[str, Any] = content

    def text(self, name: str, default: object = _REQUIRED) -> str:
        """Return a text."""
        value = self._value(name, default)
        if isinstance(value, str):
            return value
        raise self.wrong(name, "text")

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None if the field is missing or null."""
        return None if self._content.get(name) is None else self.text(name)

    def line(self, name: str) -> str:
        """Return a text for people as one line of limited length, without control characters."""
        return message_line(self.text(name))

    def optional_line(self, name: str) -> str | None:
        """Return the same, or None if the field is missing or null."""
        return None if self._content.get(name) is None else self.line(name)

    def whole(self, name: str, default: object = _REQUIRED, *, least: int = 0) -> int:
        """Return an integer from `least` to 2**53."""
        value = self._value(name, default)
        if type(value) is int and least <= value <= _LARGEST_WHOLE:
            return value
        raise self.wrong(name, f"an integer of at least {least}")

    def optional_whole(self, name: str, *, least: int = 0) -> int | None:
        """Return an integer of at least `least`, or None if the field is missing or null."""
        return None if self._content.get(name) is None else self.whole(name, least=least)

    def number(self, name: str, default: object = _REQUIRED) -> float:
        """Return a finite number."""
        value = self._value(name, default)
        number = finite(value)
        if number is None:
            raise self.wrong(name, "a finite number")
        return number

    def optional_number(self, name: str) -> float | None:
        """Return a finite number, or None if the field is missing or null."""
        return None if self._content.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        """Return a flag."""
        value = self._value(name)
        if isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def interval(self, name: str) -> tuple[float, float]:
        """Return an interval, stored as a list of two finite numbers."""
        value = self._value(name)
        match [finite(end) for end in value] if isinstance(value, list) else []:
            case [float() as low, float() as high]:
                return low, high
        raise self.wrong(name, "two finite numbers")

    def wholes(self, name: str, *, least: int = 0) -> tuple[int, ...]:
        """Return a list of integers from `least` to 2**53."""
        value = self._value(name)
        if isinstance(value, list) and all(type(item) is int and least <= item <= _LARGEST_WHOLE for item in value):
            return tuple(value)
        raise self.wrong(name, f"a list of integers of at least {least}")

    def one_of(self, name: str, words: Iterable[Word]) -> Word:
        """Return one of `words`."""
        value, known = self._value(name), tuple(words)
        for word in known:
            if value == word:
                return word
        raise self.wrong(name, f"one of {', '.join(known)}")

    def texts(self, name: str, default: object = _REQUIRED) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self._value(name, default)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong(name, "a list of texts")

    def table(self, name: str, default: object = _REQUIRED) -> Mapping[str, Any]:
        """Return an object without checking its fields."""
        value = self._value(name, default)
        if isinstance(value, dict):
            return value
        raise self.wrong(name, "an object")

    def inner(self, name: str, default: object = _REQUIRED) -> "Fields":
        """Return an object for typed access to its fields."""
        return Fields(self._value(name, default), self._path, self._place(name))

    def inners(self, name: str, default: object = _REQUIRED) -> list["Fields"]:
        """Return a list of objects for typed access to their fields."""
        value = self._value(name, default)
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return [Fields(item, self._path, f"{self._place(name)}.{position}") for position, item in enumerate(value)]

    def has(self, name: str) -> bool:
        """Return whether the field is there and not empty."""
        return bool(self._content.get(name))

    def _value(self, name: str, default: object = _REQUIRED) -> Any:
        if name in self._content:
            return self._content[name]
        if default is _REQUIRED:
            raise DamagedError(f"{str(self._path)!r} is damaged: {self._place(name)} is missing.")
        return default

    def wrong(self, name: str, rule: str) -> DamagedError:
        """Return the error for a field `name` that violates `rule`."""
        value = shown(self._content.get(name))
        return DamagedError(f"{str(self._path)!r} is damaged: {self._place(name)} must be {rule}, got {value}.")

    def _place(self, name: str) -> str:
        return f"{self._inside}.{name}" if self._inside else name


def finite(value: object) -> float | None:
    """Return `value` as a float; None if it is not a finite number."""
    if type(value) is float or type(value) is int:
        return float(value) if -LARGEST < value < LARGEST else None
    return None


def shown(value: object) -> str:
    """Return `value` as text for an error message: one line, truncated."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
