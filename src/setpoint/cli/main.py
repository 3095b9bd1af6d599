"""`setpoint VERB …`: finds the verb's module, runs it, and turns errors into one line and an exit code.

Exit codes: 0 all well; 1 internal; 2 argument syntax; 3 a name, value, data set or model that cannot be used; 4 some
runs failed; 5 all runs failed; 130 interrupted. Data goes to stdout, messages go to stderr.
"""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from setpoint import __version__
from setpoint.errors import InputErrors, SetpointError

EXIT_SYNTAX = 2
EXIT_INTERRUPTED = 130
_STORAGE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and the module with its `configure(parser)` and `run(arguments) -> exit code`."""

    module: str
    help: str


VERBS = {
    "experiment": Verb("setpoint.cli.experiment", "run, plan, resume and watch experiments"),
    "train": Verb("setpoint.cli.train", "train and evaluate one model"),
    "arms": Verb("setpoint.cli.arms", "train every arm on every system, and compare them in one table"),
    "evaluate": Verb("setpoint.cli.evaluate", "evaluate a model or a reference controller on test states"),
    "report": Verb("setpoint.cli.report", "write the reports of an experiment again"),
    "analyze": Verb("setpoint.cli.analyze", "analyse a table of results with the same statistics"),
    "verify-claims": Verb("setpoint.cli.verify_claims", "grade the statistics on experiments whose truth is known"),
    "slurm": Verb("setpoint.cli.slurm", "run experiments as jobs of a SLURM cluster"),
    "stage": Verb("setpoint.cli.stage", "run one stage of an experiment, as the jobs of a cluster do"),
    "models": Verb("setpoint.cli.models", "list trained models"),
    "data": Verb("setpoint.cli.data", "generate and list data sets of optimal trajectories"),
    "systems": Verb("setpoint.cli.systems", "list the dynamical systems, show or draw one"),
    "baselines": Verb("setpoint.cli.baselines", "measure optimum, LQR, zero control and clones on a suite"),
    "base": Verb("setpoint.cli.base", "show and rebuild base models"),
    "doctor": Verb("setpoint.cli.doctor", "check this machine, its packages and the workspace"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except InputErrors as error:
        for each in error.errors:
            _complain(each)
        return error.exit_code
    except SetpointError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("setpoint: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, such as `head`, has gone; Python must not try to flush to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        _complain(SetpointError(f"{error}. Free some space or mend the disk, then give the same command again."))
        return SetpointError.exit_code


class Parser(argparse.ArgumentParser):
    """A parser that answers for its own unknown options, with the nearest of those it knows."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse; ends the process where the innermost verb does not know an option."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [word for word in unknown if word.startswith("-")]
            self.error(
                "; ".join(map(self._unknown, options)) or f"these words belong to no option: {' '.join(unknown)}"
            )
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """End the process with one line; the usage of a verb with many options would hide it."""
        self.exit(EXIT_SYNTAX, f"{self.prog}: error: {message.rstrip('.?')}. See {self.prog} --help\n")

    def _unknown(self, word: str) -> str:
        options = [name for action in self._actions for name in action.option_strings]
        nearest = get_close_matches(word.partition("=")[0], options, n=1)
        return f"unknown option {word!r}" + (f", the nearest is {nearest[0]}" if nearest else "")


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="setpoint",
        description="Train language models to control dynamical systems, and find out which training works.",
    )
    parser.add_argument("--version", action="version", version=f"setpoint {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    called = next((word for word in words if not word.startswith("-")), None)
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, help=verb.help, description=verb.help, allow_abbrev=False)
        if name == called:
            module = importlib.import_module(verb.module)
            module.configure(subparser)
    parsed = parser.parse_args(words)
    exit_code: int = module.run(parsed)
    return exit_code


def _complain(error: SetpointError) -> None:
    print(f"setpoint: error: {' '.join(str(error).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
