"""`setpoint replay CAPSULE`: check a capsule, and compute its report and some of its stages again."""

import argparse
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, file_path, print_json
from setpoint.cli.running import EXIT_SOME_FAILED
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.capsules.replaying import Replay


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("capsule", type=file_path, metavar="FILE.zip", help="capsule of an experiment")
    parser.add_argument(
        "--spot", type=_count, default=3, metavar="N", help="stages to compute again, drawn at random (default 3)"
    )
    parser.add_argument("--seed", type=_count, metavar="N", help="seed of the draw (default: another draw every time)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Replay the capsule; the exit code is 4 if anything differs."""
    from setpoint.capsules.comparing import Verdict
    from setpoint.capsules.replaying import replay
    from setpoint.cli.progress import say, say_nothing

    notify = say_nothing if arguments.quiet else say
    found = replay(arguments.capsule, spot=arguments.spot, seed=arguments.seed, notify=notify)
    if arguments.json:
        print_json(found.to_json())
    else:
        print("\n".join(_lines(found)))
    return EXIT_SOME_FAILED if found.verdict is Verdict.DIFFERENT else 0


def _lines(found: "Replay") -> list[str]:
    lines = [f"wrong: {finding}" for finding in found.findings]
    for each in found.comparisons:
        lines += [f"{each.what}: {each.verdict.value}", *(f"  {place}" for place in each.where)]
    return [*lines, f"capsule of experiment {found.experiment or 'unknown'}: {found.verdict.value}"]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InputError(f"must be an integer of at least 0, got {text!r}")
    return int(text)
