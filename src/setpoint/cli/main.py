"""`setpoint VERB …`: run the verb's module, and turn errors into one line and an exit code.

Exit codes: 0 success; 1 internal error; 2 argument syntax; 3 unusable name, value, dataset, model or disk; 4 some runs
failed; 5 all runs failed; 130 interrupted. Results go to stdout, messages to stderr.
"""

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from setpoint import __version__
from setpoint.cli.parsing import Parser
from setpoint.errors import InputError, InputErrors, SetpointError

EXIT_INTERRUPTED = 130
_STORAGE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_PATH_ERRORS = {errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY}
"""The path cannot be read or written: missing permissions, or a file where a folder is expected."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and the module with its `configure(parser)` and `run(arguments) -> exit code`."""

    module: str
    help: str


VERBS = {
    "experiment": Verb("setpoint.cli.experiment", "run, plan, resume and watch experiments"),
    "train": Verb("setpoint.cli.train", "train and evaluate one model"),
    "grpo": Verb("setpoint.cli.grpo", "check whether GRPO has a signal to learn from"),
    "arms": Verb("setpoint.cli.arms", "train every arm on every system and compare them in one table"),
    "evaluate": Verb("setpoint.cli.evaluate", "evaluate a model or a reference controller on test states"),
    "report": Verb("setpoint.cli.report", "regenerate the reports of an experiment"),
    "analyze": Verb("setpoint.cli.analyze", "analyse a table of results with the same statistics"),
    "verify-claims": Verb(
        "setpoint.cli.verify_claims",
        "check error rates and coverage on simulated experiments with known ground truth",
    ),
    "slurm": Verb("setpoint.cli.slurm", "run experiments as jobs of a SLURM cluster"),
    "stage": Verb("setpoint.cli.stage", "run one stage of an experiment, as cluster jobs do"),
    "models": Verb("setpoint.cli.models", "list trained models"),
    "data": Verb("setpoint.cli.data", "generate and list datasets of optimal trajectories"),
    "systems": Verb("setpoint.cli.systems", "list the dynamical systems, show or plot one"),
    "baselines": Verb("setpoint.cli.baselines", "evaluate optimum, LQR, zero control and clones on a suite"),
    "base": Verb("setpoint.cli.base", "show and rebuild base models"),
    "doctor": Verb("setpoint.cli.doctor", "run preflight checks on the machine, its packages and the workspace"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # escape what the terminal cannot encode
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()  # here, so that a full disk is handled below
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
    except BrokenPipeError:  # the reader of stdout, such as `head`, has exited
        _abandon_stdout()
        return 0
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS | _PATH_ERRORS:
            raise
        try:
            sys.stdout.flush()
        except OSError:
            _abandon_stdout()
        full = error.errno in _STORAGE_ERRORS
        fix = "Free some space or use another disk" if full else "Check the path and its permissions"
        _complain(InputError(f"{error}. {fix}, then run the same command again."))
        return InputError.exit_code


def _abandon_stdout() -> None:
    """Redirect stdout to the null device, because Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    parser = Parser(
        prog="setpoint",
        description="Train language models to control dynamical systems, and compare how they were trained.",
    )
    parser.add_argument("--version", action="version", version=f"setpoint {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    wanted = next((each for each in words if not each.startswith("-")), None)
    for name, verb in VERBS.items():
        subparser = subparsers.add_parser(name, help=verb.help, description=verb.help, allow_abbrev=False)
        if name == wanted:
            module = importlib.import_module(verb.module)
            module.configure(subparser)
    parsed = parser.parse_args(words)
    exit_code: int = module.run(parsed)
    return exit_code


def _complain(error: SetpointError) -> None:
    print(f"setpoint: error: {' '.join(str(error).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
