"""`setpoint completion SHELL`: print a script that completes the commands and options in a shell."""

import argparse
import importlib
from collections.abc import Iterator

from setpoint.cli.options import file_path, one_of

SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", type=one_of(*SHELLS), metavar="SHELL", help="bash, zsh or tcsh")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    parser = whole_parser()
    for action in _actions(parser):
        if action.type is file_path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return 0


def whole_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line with the arguments of every verb."""
    from setpoint.cli.main import VERBS
    from setpoint.cli.parsing import Parser

    parser = Parser(prog="setpoint")
    parser.add_argument("--version", action="store_true", help="print the version")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, verb in VERBS.items():
        importlib.import_module(verb.module).configure(verbs.add_parser(name, help=verb.help))
    return parser


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield every action of the parser and of the parsers below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
