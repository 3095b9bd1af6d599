"""`setpoint check DRAFT --experiment ID`: compare the sentences of a draft with the claims of an experiment."""

import argparse
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, add_workspace, file_path, print_json, workspace_of
from setpoint.cli.running import EXIT_SOME_FAILED
from setpoint.errors import InputError, refusal_of, shown

if TYPE_CHECKING:
    from pathlib import Path

    from setpoint.drafts.checking import Checked

_MOST_BYTES = 5_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("draft", type=file_path, metavar="FILE", help="draft, as Markdown or plain text")
    parser.add_argument("--experiment", required=True, metavar="ID", help="id of the experiment")
    parser.add_argument("--all", action="store_true", help="also print the sentences that are supported")
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the sentences that the experiment does not support; the exit code is 4 if there are any."""
    from setpoint.drafts.checking import Finding, check_draft, read_facts
    from setpoint.experiments.running.status import no_experiment
    from setpoint.records.plan import plan_path

    draft = _read(arguments.draft)
    workspace = workspace_of(arguments)
    experiment = workspace.experiment(arguments.experiment)
    if not plan_path(experiment).exists():
        raise no_experiment(workspace, arguments.experiment)
    checked = check_draft(draft, read_facts(experiment))
    wrong = [each for each in checked if each.finding is not Finding.SUPPORTED]
    if arguments.json:
        print_json([each.to_json() for each in checked])
    else:
        for each in checked if arguments.all else wrong:
            print(_line(each, str(arguments.draft)))
        print(f"{len(checked)} sentences checked: {len(checked) - len(wrong)} supported, {len(wrong)} not")
    return EXIT_SOME_FAILED if wrong else 0


def _line(checked: "Checked", name: str) -> str:
    text = checked.text if len(checked.text) <= 160 else f"{checked.text[:157]}…"
    return f"{name}:{checked.line}: {checked.finding.value}: {text}\n    {checked.reason}"


def _read(path: "Path") -> str:
    """Return the text of the draft.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    from setpoint.regular_files import read_regular

    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read {shown(str(path))}: {refusal_of(error)}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(str(path))} is not text in UTF-8. Convert it first.") from error
