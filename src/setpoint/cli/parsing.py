"""Argument parser of all verbs: suggests names, rejects repeated options, separates bad values from bad syntax."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from setpoint.errors import InputError, legible, shown
from setpoint.plain_text import message_line

EXIT_SYNTAX = 2
_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
"""Numbers that argparse takes for values and not for options; its own pattern has no exponent."""
_KINDS = {"int": "an integer", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """Argument parser that reports unknown options and verbs with the nearest known one."""

    def __init__(self, **settings: Any) -> None:
        """Make errors reach `parse_known_args`, which classifies them."""
        super().__init__(**settings, exit_on_error=False)
        self._negative_number_matcher = _NEGATIVE_NUMBER

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse the arguments; exit on a syntax error, such as an option unknown to the innermost verb.

        Raises:
            InputError: the value of an option is invalid.
        """
        self._refuse_repetition(args or ())
        try:
            parsed, unknown = super().parse_known_args(args, namespace)
        except argparse.ArgumentError as error:
            if isinstance(error.__context__, ValueError | TypeError | argparse.ArgumentTypeError):
                raise InputError(_bad_value(error)) from error
            self.error(self._with_nearest_verb(str(error)))
        if unknown:
            options = [word for word in unknown if word.startswith("-")]
            self.error("; ".join(map(self._unknown, options)) or f"unexpected arguments: {legible(' '.join(unknown))}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Exit with one line; the long usage text of a verb would hide it."""
        self.exit(EXIT_SYNTAX, f"{self.prog}: error: {message_line(message).rstrip('.?')}. See {self.prog} --help\n")

    def _refuse_repetition(self, words: Sequence[str]) -> None:
        """Reject an option given twice, under any of its names: argparse would keep only the last value."""
        given: dict[str, str] = {}
        for word in takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            action = self._option_string_actions.get(name)
            if action is None or action.nargs == 0:
                continue
            if before := given.get(action.dest):
                names = f"option {name}" if before == name else f"the same option ({before} and {name})"
                self.error(f"{names} is given twice; give it once, with all its values")
            given[action.dest] = name

    def _unknown(self, word: str) -> str:
        options = [name for action in self._actions for name in action.option_strings]
        return f"unknown option {shown(word)}{_nearest(word.partition('=')[0], options)}"

    def _with_nearest_verb(self, message: str) -> str:
        """Add the nearest verb; verbs are the only choices that argparse itself checks."""
        verbs = [verb for action in self._actions for verb in action.choices or ()]
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        return message if wrong is None else message.replace(wrong[0], wrong[0] + _nearest(wrong[1], verbs), 1)


def _nearest(word: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(word, known, n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _bad_value(error: argparse.ArgumentError) -> str:
    """Return the message for a value that the type of an option rejected: ours, or Python's `int` and `float`."""
    text = str(error.__context__) if isinstance(error.__context__, InputError) else error.message
    builtin = re.fullmatch(r"invalid (int|float) value: (.*)", text)
    if builtin is not None:
        text = f"must be {_KINDS[builtin[1]]}, got {builtin[2]}"
    return f"{error.argument_name}{'' if text.startswith('must') else ':'} {text.rstrip('.')}."
