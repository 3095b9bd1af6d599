"""`--notify COMMAND`: run a command of the user when an experiment has ended, however it ended."""

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.streams import tell
from setpoint.errors import InputError, shown

if TYPE_CHECKING:
    from setpoint.experiments.request import Request

LONGEST_S = 60
_ENDINGS = {0: "finished", 4: "finished, some runs failed", 5: "finished, all runs failed", 130: "interrupted"}
"""Exit code -> how an experiment ended; any other code is an error."""


def command(text: str) -> tuple[str, ...]:
    """Parse the command of `--notify`, as the type of the option; it is run without a shell.

    Raises:
        InputError: it is empty, or its quotes do not match.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"must be a command, got {shown(text)} ({error})") from None
    if not words:
        raise InputError(f"must be a command, got {shown(text)}")
    return words


def require_program(words: tuple[str, ...] | None) -> None:
    """Check that the command begins with a program that exists.

    Raises:
        InputError: it does not.
    """
    if words is not None and shutil.which(words[0]) is None:
        raise InputError(f"--notify must begin with a program on the PATH, got {shown(words[0])}. No shell is used.")


class Outcome:
    """How a command ended, as far as it is known; an error until something else is set."""

    exit_code = 1


@contextlib.contextmanager
def notifying(words: tuple[str, ...] | None, request: "Request") -> Iterator[Outcome]:
    """Run the command `words` after the body, also when it raises; None runs nothing."""
    outcome = Outcome()
    try:
        yield outcome
    finally:
        if words is not None:
            _notify(words, request, outcome.exit_code)


def _notify(words: tuple[str, ...], request: "Request", exit_code: int) -> None:
    """Run the command with the outcome in its environment and a line of text on its standard input.

    What it prints goes to stderr, so that stdout has the result only. A command that fails is reported and ignored.
    """
    experiment = request.workspace.experiment(request.experiment_id)
    report = experiment / "reports" / "report.html"
    ending = _ENDINGS.get(exit_code, "failed")
    told = {
        "SETPOINT_EXPERIMENT": request.experiment_id,
        "SETPOINT_ENDING": ending,
        "SETPOINT_EXIT_CODE": str(exit_code),
        "SETPOINT_REPORT": str(report.resolve()) if report.is_file() else "",
        "SETPOINT_FOLDER": str(Path(request.workspace.root).resolve()),
    }
    try:
        done = subprocess.run(
            words,
            input=f"setpoint: experiment {request.experiment_id}: {ending}\n",
            env=os.environ | told,
            stdout=2,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        tell(f"--notify: {error}")
        return
    if done.returncode:
        tell(f"--notify: {words[0]} exited with code {done.returncode}")
