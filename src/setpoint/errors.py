"""Errors of this package, and the wording of errors in user input.

A message names the broken rule, the offending value, the remedy and, if there is one, the nearest valid name. To add an
error: subclass `SetpointError`, set `exit_code`, and raise it where the rule is checked.
"""

import contextlib
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

_LONGEST = 100
"""Maximum number of characters of a user's text in a message."""
_LONGEST_LIST = 250
"""Maximum number of characters of a list of known names."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LONGEST
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 12


class SetpointError(Exception):
    """Base class of all errors that this package raises; `exit_code` is the exit code of the command line."""

    exit_code = 1


class InputError(SetpointError, ValueError):
    """A name, value, dataset or model that cannot be used; the message is one line for the user."""

    exit_code = 3


class InputErrors(InputError):
    """Several input errors found in one pass, so that the user can fix all of them at once."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        """Join `errors` (at least one) into one message, one line each."""
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in errors))


class StageError(SetpointError):
    """A stage failed for a known reason; the failure is recorded with its evidence.

    Attributes:
        failure_class: class in the failure table, such as `diverged` or `no_learning_signal`.
        evidence: measured values that show the failure.
        suggestion: recommended change.
    """

    def __init__(self, failure_class: str, message: str, *, evidence: dict[str, object], suggestion: str) -> None:
        """Store the failure; `message` is one line."""
        self.failure_class = failure_class
        self.evidence = evidence
        self.suggestion = suggestion
        super().__init__(message)


def shown(value: object) -> str:
    """Return the repr of `value`, truncated to about 100 characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}…"


def legible(text: str) -> str:
    """Return `text` unchanged if it is short and printable, else the result of `shown`."""
    return text if text.isprintable() and len(text) <= _LONGEST else shown(text)


def unknown_name(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, aliases: Iterable[str] = ()
) -> InputError:
    """Return the `InputError` for a name that is neither in `known` nor in `aliases`, with the nearest valid name."""
    choices = sorted(map(str, known))  # the repr of an enum member would include its class
    nearest = did_you_mean(name, [*choices, *sorted(map(str, aliases))])
    remedy = f" {hint}" if hint else ""
    return InputError(f"unknown {kind} {shown(name)}.{nearest} Known: {_few(choices)}.{remedy}")


def _few(names: Sequence[str]) -> str:
    """Return as many of `names` as fit into a message, and the number of the others."""
    text = ", ".join(map(legible, names))
    if len(text) <= _LONGEST_LIST:
        return text
    fitting = text[:_LONGEST_LIST].count(", ")
    return f"{', '.join(map(legible, names[:fitting]))} and {len(names) - fitting} more"


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest of `names`; empty if none is near."""
    alike_in_length = [each for each in names if abs(len(each) - len(name)) <= max(1, len(name) // 3)]
    containing = [each for each in names if len(name) > 2 and name in each]
    cutoff = 0.6 if len(name) > 2 else 0.5  # of two letters, one may differ
    nearest = get_close_matches(name, alike_in_length, n=1, cutoff=cutoff) or containing or _abbreviated(name, names)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _abbreviated(name: str, names: Sequence[str]) -> list[str]:
    """Return the names that `name` abbreviates by leaving letters out, as `params` does `parameters`."""
    pattern = re.compile(".*".join(map(re.escape, name)))
    return [each for each in names if len(name) > 3 and each[:2] == name[:2] and pattern.match(each)]


class Findings:
    """Collects the input errors of several checks, to raise them together."""

    def __init__(self) -> None:
        """Start without errors."""
        self.errors: list[InputError] = []

    @contextlib.contextmanager
    def check(self) -> Iterator[None]:
        """Collect the input errors raised in the body, and continue after it."""
        try:
            yield
        except InputErrors as error:
            self.errors += error.errors
        except InputError as error:
            self.errors.append(error)

    def settle(self) -> None:
        """Raise the collected errors together, without duplicates.

        Raises:
            InputError: at least one error was collected.
        """
        collect(list({str(error): error for error in self.errors}.values()))


def collect(errors: Sequence[InputError]) -> None:
    """Raise `errors` together if there are any."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InputErrors(errors)


def refusal_of(error: OSError) -> str:
    """Return why the system refused, as the end of a sentence: `no such file or directory`, `larger than 1 MB`."""
    reason = error.strerror or "unreadable"
    return reason[:1].lower() + reason[1:]
