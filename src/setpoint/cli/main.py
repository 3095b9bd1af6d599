"""`setpoint VERB …`: run the verb's module, and turn errors into one line and an exit code.

Exit codes: 0 success; 1 internal error; 2 argument syntax; 3 unusable name, value, dataset, model or disk; 4 some runs
failed; 5 all runs failed; 130 interrupted. Results go to stdout, messages to stderr.
"""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from setpoint import __version__
from setpoint.cli.parsing import Parser
from setpoint.cli.streams import abandon_stdout, ended_as_interrupted, safe_streams, tell
from setpoint.errors import InputError, InputErrors, SetpointError, shown

EXIT_INTERRUPTED = 130
_STORAGE_ERRORS = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_PATH_ERRORS = {
    errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.ENOENT,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EFBIG, errno.EIO, errno.ESTALE,
}  # fmt: skip
"""The path cannot be read or written: missing permissions, a file where a folder is expected, a damaged disk."""
_EXTRAS = {
    "train": {"accelerate", "datasets", "peft", "torch", "transformers", "trl", "safetensors", "tokenizers"},
    "report": {"matplotlib"},
    "baselines": {"sklearn"},
    "capsule": {"rocrate"},
    "serve": {"starlette", "uvicorn"},
    **{name: {name} for name in ("tensorboard", "mlflow", "wandb", "trackio", "mcp")},
}
"""Optional dependency group -> modules that come with it."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and the module with its `configure(parser)` and `run(arguments) -> exit code`."""

    module: str
    help: str


VERBS = {
    "init": Verb("setpoint.cli.init", "write a commented specification to start from"),
    "experiment": Verb("setpoint.cli.experiment", "run, plan, resume and watch experiments"),
    "train": Verb("setpoint.cli.train", "train and evaluate one model"),
    "grpo": Verb("setpoint.cli.grpo", "check whether GRPO has a signal to learn from"),
    "arms": Verb("setpoint.cli.arms", "train every arm on every system and compare them in one table"),
    "evaluate": Verb("setpoint.cli.evaluate", "evaluate a model or a reference controller on test states"),
    "report": Verb("setpoint.cli.report", "regenerate the reports of an experiment"),
    "compare": Verb("setpoint.cli.compare", "compare experiments side by side, with tests where runs are comparable"),
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
    "parameters": Verb("setpoint.cli.parameters", "list the training parameters with values and defaults"),
    "baselines": Verb("setpoint.cli.baselines", "evaluate optimum, LQR, zero control and clones on a suite"),
    "base": Verb("setpoint.cli.base", "show and rebuild base models"),
    "serve": Verb("setpoint.cli.serve", "show the experiments of the workspace on a local page while they run"),
    "mcp": Verb("setpoint.cli.mcp", "serve the workspace to an agent over the Model Context Protocol"),
    "check": Verb("setpoint.cli.check", "check the sentences of a draft against the claims of an experiment"),
    "export": Verb("setpoint.cli.export", "export results to TensorBoard, MLflow, Weights & Biases or Trackio"),
    "capsule": Verb("setpoint.cli.capsule", "write an experiment with all its results into one file"),
    "replay": Verb("setpoint.cli.replay", "check a capsule, and compute its report and some of its stages again"),
    "du": Verb("setpoint.cli.du", "show the disk usage of the workspace by experiment"),
    "clean": Verb("setpoint.cli.clean", "list or delete what no experiment of the workspace needs"),
    "schema": Verb("setpoint.cli.schema", "print the JSON schema of specification files or cluster profiles"),
    "completion": Verb("setpoint.cli.completion", "print a completion script for a shell"),
    "doctor": Verb("setpoint.cli.doctor", "run preflight checks on the machine, its packages and the workspace"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with safe_streams(), ended_as_interrupted() as ignore_further:
        exit_code = _guarded(words)
        if exit_code == EXIT_INTERRUPTED:
            ignore_further()
        return exit_code


def _guarded(words: list[str]) -> int:
    """Run one command, and turn its errors into messages and exit codes."""
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
        tell("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, such as `head`, has exited
        abandon_stdout()
        return 0
    except ModuleNotFoundError as error:
        _complain(_missing_package(error))
        return InputError.exit_code
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS | _PATH_ERRORS:
            raise
        try:
            sys.stdout.flush()
        except OSError:
            abandon_stdout()
        _complain(_unusable_path(error))
        return InputError.exit_code


def _unusable_path(error: OSError) -> InputError:
    full = error.errno in _STORAGE_ERRORS
    fix = "Free some space or use another disk" if full else "Check the path and its permissions"
    place = "" if error.filename is None else f": {shown(os.fsdecode(error.filename))}"
    return InputError(f"{error.strerror}{place}. {fix}, then run the same command again.")


def _missing_package(error: ModuleNotFoundError) -> InputError:
    """Return the error for an optional package that is not installed.

    Raises:
        ModuleNotFoundError: the module belongs to no optional package.
    """
    package = (error.name or "").partition(".")[0]
    extra = next((name for name, packages in _EXTRAS.items() if package in packages), None)
    if extra is None:
        raise error
    return InputError(f"this command needs the package {package!r}. Install it with: pip install 'setpoint[{extra}]'")


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
    tell(f"error: {error}")


if __name__ == "__main__":
    sys.exit(main())
