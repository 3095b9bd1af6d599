"""The one family of errors, and how a user's mistake is put into words.

A message names the broken rule, the value that broke it, the remedy and, where there is one, the nearest thing that
would have been right. To add an error: subclass `SetpointError`, set `exit_code`,
and raise it where the rule is checked.
"""

import contextlib
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

_LONGEST = 100
"""Characters of a user's own text in a message."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LONGEST
_SHORT.maxlevel = 3
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 12


class SetpointError(Exception):
    """Anything this package raises on purpose. `exit_code` is what the command line returns for it."""

    exit_code = 1


class InputError(SetpointError, ValueError):
    """A name, value, data set or model that cannot be used; its message is meant for the user, on one line."""

    exit_code = 3


class InputErrors(InputError):
    """Several input errors found in one pass, so that a user mends them all at once."""

    def __init__(self, errors: Sequence[InputError]) -> None:
        """Join `errors` (at least one) into one message, a line each."""
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in errors))


class StageError(SetpointError):
    """A stage that ended in a recognised way: the failure is a result and carries its evidence.

    Attributes:
        failure_class: one of the classes of the failure table, such as `diverged` or `no_learning_signal`.
        evidence: the measured numbers that show it.
        suggestion: what to change, in words.
    """

    def __init__(self, failure_class: str, message: str, *, evidence: dict[str, object], suggestion: str) -> None:
        """Describe the failure; `message` is one line."""
        self.failure_class = failure_class
        self.evidence = evidence
        self.suggestion = suggestion
        super().__init__(message)


def shown(value: object) -> str:
    """`value` as Python writes it, cut to about a hundred characters however large it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST + 2 else f"{text[:_LONGEST]}…"


def legible(text: str) -> str:
    """`text` itself where it is short and printable, else as `shown` has it."""
    return text if text.isprintable() and len(text) <= _LONGEST else shown(text)


def unknown_name(
    kind: str, name: str, known: Iterable[str], hint: str = "", *, aliases: Iterable[str] = ()
) -> InputError:
    """An `InputError` for a name that is neither in `known` nor among its `aliases`, with one that is near first."""
    choices = sorted(map(str, known))  # members of enums print their class otherwise
    names = [*choices, *sorted(map(str, aliases))]
    alike_in_length = [each for each in names if abs(len(each) - len(name)) <= max(1, len(name) // 3)]
    containing = [each for each in names if len(name) > 2 and name in each]
    cutoff = 0.6 if len(name) > 2 else 0.5  # one letter of two
    nearest = get_close_matches(name, alike_in_length, n=1, cutoff=cutoff) or containing
    did_you_mean = f" Did you mean {nearest[0]!r}?" if nearest else ""
    remedy = f" {hint}" if hint else ""
    return InputError(f"unknown {kind} {shown(name)}.{did_you_mean} Known: {', '.join(choices)}.{remedy}")


class Findings:
    """Input errors of several checks, raised together at the end."""

    def __init__(self) -> None:
        """Nothing found yet."""
        self.errors: list[InputError] = []

    @contextlib.contextmanager
    def check(self) -> Iterator[None]:
        """Keep the input errors of the body, and go on after it."""
        try:
            yield
        except InputErrors as error:
            self.errors += error.errors
        except InputError as error:
            self.errors.append(error)

    def settle(self) -> None:
        """Raise what was found, each thing once.

        Raises:
            InputError: all of it.
        """
        collect(list({str(error): error for error in self.errors}.values()))


def collect(errors: Sequence[InputError]) -> None:
    """Raise `errors` together when there are any."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise InputErrors(errors)
