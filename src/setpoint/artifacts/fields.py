"""The object in a JSON file, read field by field: what is wrong with one is said with file, field and value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from setpoint.errors import InputError

_LARGEST_WHOLE = 2**53
_LARGEST = 1e300
_SHOWN = 80
_REQUIRED: Final = object()


class DamagedError(InputError):
    """A file of a workspace that is not what was written."""


class Fields:
    """Typed access to a parsed object. Every method takes the name of a field, and raises `DamagedError`."""

    __slots__ = ("_content", "_inside", "_path")

    def __init__(self, content: object, path: Path | str, inside: str = "") -> None:
        """Read `content`, which comes from `path`.

        Args:
            inside: the name of the field that holds `content`, where that is not the whole file.

        Raises:
            DamagedError: it is no object.
        """
        self._path = path
        self._inside = inside
        if not isinstance(content, dict):
            raise DamagedError(
                f"{str(path)!r} is damaged: {inside or 'it'} must be an object, but is {shown(content)}."
            )
        self._content: dict[str, Any] = content

    def text(self, name: str, default: object = _REQUIRED) -> str:
        """A text."""
        value = self._value(name, default)
        if isinstance(value, str):
            return value
        raise self.wrong(name, "text")

    def optional_text(self, name: str) -> str | None:
        """A text, or None where the field is missing or null."""
        return None if self._content.get(name) is None else self.text(name)

    def whole(self, name: str, default: object = _REQUIRED, *, least: int = 0) -> int:
        """A whole number from `least` to 2**53."""
        value = self._value(name, default)
        if type(value) is int and least <= value <= _LARGEST_WHOLE:
            return value
        raise self.wrong(name, f"a whole number of at least {least}")

    def number(self, name: str, default: object = _REQUIRED) -> float:
        """A finite number."""
        value = self._value(name, default)
        number = finite(value)
        if number is None:
            raise self.wrong(name, "a finite number")
        return number

    def optional_number(self, name: str) -> float | None:
        """A finite number, or None where the field is missing or null."""
        return None if self._content.get(name) is None else self.number(name)

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._value(name)
        if isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def interval(self, name: str) -> tuple[float, float]:
        """Two finite numbers."""
        value = self._value(name)
        match [finite(end) for end in value] if isinstance(value, list) else []:
            case [float() as low, float() as high]:
                return low, high
        raise self.wrong(name, "two finite numbers")

    def texts(self, name: str, default: object = _REQUIRED) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value(name, default)
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self.wrong(name, "a list of texts")

    def table(self, name: str, default: object = _REQUIRED) -> Mapping[str, Any]:
        """An object, as it is."""
        value = self._value(name, default)
        if isinstance(value, dict):
            return value
        raise self.wrong(name, "an object")

    def inner(self, name: str, default: object = _REQUIRED) -> "Fields":
        """An object, to be read field by field."""
        return Fields(self._value(name, default), self._path, self._place(name))

    def inners(self, name: str, default: object = _REQUIRED) -> list["Fields"]:
        """A list of objects, to be read field by field."""
        value = self._value(name, default)
        if not isinstance(value, list):
            raise self.wrong(name, "a list")
        return [Fields(item, self._path, f"{self._place(name)}.{position}") for position, item in enumerate(value)]

    def _value(self, name: str, default: object = _REQUIRED) -> Any:
        if name in self._content:
            return self._content[name]
        if default is _REQUIRED:
            raise DamagedError(f"{str(self._path)!r} is damaged: {self._place(name)} is missing.")
        return default

    def wrong(self, name: str, rule: str) -> DamagedError:
        """The error that says that field `name` must be something else."""
        value = shown(self._content.get(name))
        return DamagedError(f"{str(self._path)!r} is damaged: {self._place(name)} must be {rule}, but is {value}.")

    def _place(self, name: str) -> str:
        return f"{self._inside}.{name}" if self._inside else name


def finite(value: object) -> float | None:
    """`value` as a number, None where it is no number or not finite."""
    if type(value) is float or type(value) is int:
        return float(value) if -_LARGEST < value < _LARGEST else None
    return None


def shown(value: object) -> str:
    """`value` as an error message shows it: on one line, and not at any length."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
