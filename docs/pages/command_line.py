"""The command line, from its parsers."""

import argparse
import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from pages.markdown import page, sentence, table
from setpoint.cli.main import VERBS
from setpoint.cli.parsing import Parser

SCRIPTS = Path(__file__).parents[2] / "scripts"

ABOUT = """\
# Command line

Every verb with its arguments, as `setpoint VERB --help` prints them. Data goes to stdout, messages and progress go to
stderr. See also the [exit codes](exit_codes.md)."""


def command_line() -> str:
    """Every verb and action with its arguments, and the scripts."""
    verbs = ([f"[`{name}`](#setpoint-{name})", verb.help] for name, verb in VERBS.items())
    scripts = ([f"`scripts/{path.name}`", _docstring(path)] for path in sorted(SCRIPTS.glob("*.py")))
    lines = [ABOUT, "", *table(["verb", "what it does"], verbs)]
    lines += ["", "Each script hands its arguments to a verb.", "", *table(["script", "what it does"], scripts)]
    for name, verb in VERBS.items():
        parser = Parser(prog=f"setpoint {name}", description=verb.help)
        importlib.import_module(verb.module).configure(parser)
        lines += ["", *_command(parser, "##")]
    return page(*lines)


def _docstring(script: Path) -> str:
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""


def _command(parser: argparse.ArgumentParser, heading: str) -> Iterator[str]:
    """One command, and those below it."""
    yield f"{heading} {parser.prog}"
    yield ""
    yield sentence(parser.description or "")
    below = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if not isinstance(action, argparse._HelpAction)]
        below += [action for action in actions if isinstance(action, argparse._SubParsersAction)]
        actions = [action for action in actions if action not in below]
        if not actions:
            continue
        if group.title not in ("positional arguments", "options"):
            yield ""
            yield f"*{sentence(group.title or '').rstrip('.')}*"
        yield ""
        yield from table(["argument", "meaning"], ([_syntax(action), _meaning(action)] for action in actions))
    for action in below:
        for command in action.choices.values():
            yield ""
            yield from _command(command, f"{heading}#")


def _syntax(action: argparse.Action) -> str:
    """`--option VALUE`, or the name of a positional argument."""
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    value = {0: "", "?": f"[{metavar}]", "+": f"{metavar} …"}.get(action.nargs or "", metavar)
    names = action.option_strings or [""]
    return ", ".join(f"`{' '.join(filter(None, [name, value]))}`" for name in names)


def _meaning(action: argparse.Action) -> str:
    required = " (required)" if action.required and action.option_strings else ""
    return (action.help or "").replace("%%", "%").replace("<", "&lt;") + required
