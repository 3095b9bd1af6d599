"""Checks of arguments of public functions. Each message names the argument, the rule and the value."""

import os
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path
from typing import TypeVar

from setpoint.errors import InputError, shown

T = TypeVar("T")


def require_instance(value: object, kind: type[T], name: str) -> T:
    """Return `value` if it is a `kind`, a class of the public API.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise InputError(f"{name} must be {article} {kind.__name__}, got {shown(value)}.")
    return value


def require_text(value: object, name: str) -> str:
    """Return `value` if it is text that is not empty.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} must be text, and not empty, got {shown(value)}.")
    return value


def require_texts(value: object, name: str) -> tuple[str, ...]:
    """Return `value` as a tuple of texts: one text, or several.

    Raises:
        InputError: it is neither, or empty.
    """
    texts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else ()
    if isinstance(value, bytes) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"{name} must be text, or a list of texts, got {shown(value)}.")
    return texts


def require_flag(value: object, name: str) -> bool:
    """Return `value` if it is True or False.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {shown(value)}.")
    return value


def is_number(value: object) -> bool:
    """Return whether `value` is a real number, of Python or of NumPy; True and False are not."""
    return not isinstance(value, bool) and isinstance(value, Real)


def require_number(value: object, name: str) -> float:
    """Return `value` if it is a real number, and not True or False.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be a number, got {shown(value)}.")
    return float(value)


def require_whole(value: object, name: str, *, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {shown(value)}.")
    return int(value)


def require_path(value: object, name: str) -> Path:
    """Return `value` as a path if it is text or a path.

    Raises:
        InputError: it is not, or it is empty.
    """
    if not isinstance(value, str | os.PathLike) or not value:
        raise InputError(f"{name} must be a path, got {shown(value)}.")
    return Path(value)
