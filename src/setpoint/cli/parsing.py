"""The parser of every verb: suggests nearest names, refuses repeated options, and tells bad values from bad syntax."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from setpoint.errors import InputError, legible, shown

EXIT_SYNTAX = 2
_KINDS = {"int": "an integer", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """Reports unknown options and words itself, with the nearest known one."""

    def __init__(self, **settings: Any) -> None:
        """Errors reach `parse_known_args`, which decides what kind of mistake they are."""
        super().__init__(**settings, exit_on_error=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse; ends the process where the syntax is wrong, such as an option that the innermost verb does not know.

        Raises:
            InputError: an option has a value that it does not take.
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
        """End the process with one line; the usage of a verb with many options would hide it."""
        self.exit(EXIT_SYNTAX, f"{self.prog}: error: {message.rstrip('.?')}. See {self.prog} --help\n")

    def _refuse_repetition(self, words: Sequence[str]) -> None:
        """Only the last value of an option would count, under whichever of its names."""
        given: dict[str, str] = {}
        for word in takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            action = self._option_string_actions.get(name)
            if action is None or action.nargs == 0:
                continue
            if before := given.get(action.dest):
                names = f"option {name} is" if before == name else f"{before} and {name} are one option, which is"
                self.error(f"{names} given twice; give it once, with all of its values")
            given[action.dest] = name

    def _unknown(self, word: str) -> str:
        options = [name for action in self._actions for name in action.option_strings]
        return f"unknown option {shown(word)}{_nearest(word.partition('=')[0], options)}"

    def _with_nearest_verb(self, message: str) -> str:
        """A word that is no verb is the only choice that the parser itself refuses."""
        verbs = [verb for action in self._actions for verb in action.choices or ()]
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        return message if wrong is None else message.replace(wrong[0], wrong[0] + _nearest(wrong[1], verbs), 1)


def _nearest(word: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(word, known, n=1)
    return f", the nearest is {nearest[0]}" if nearest else ""


def _bad_value(error: argparse.ArgumentError) -> str:
    """Rule and value of an option whose type refused a value, as an error of ours or of Python's `int` and `float`."""
    said = str(error.__context__) if isinstance(error.__context__, InputError) else error.message
    plain = re.fullmatch(r"invalid (int|float) value: (.*)", said)
    if plain is not None:
        said = f"must be {_KINDS[plain[1]]}, got {plain[2]}"
    return f"{error.argument_name}{'' if said.startswith('must') else ':'} {said.rstrip('.')}."
