"""`setpoint verify-claims`: simulate experiments whose truth is known, and see how often the claims are right."""

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, print_json, words
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.truth.verification import Reached

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
EXIT_MISSED = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--simulations", type=int, default=200, metavar="N", help="experiments a scenario (default: 200)"
    )
    parser.add_argument("--scenarios", default="", metavar="G0,G11", help="only these (default: all)")
    parser.add_argument(
        "--folders", type=int, default=0, metavar="N", help="also write and read N experiment folders a scenario"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument("--write", type=Path, metavar="FILE", help=f"replace what is between {BEGIN} and {END}")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate, and print or write the table; exit code 4 where a target is missed by more than chance."""
    from setpoint.truth.scenarios import scenarios
    from setpoint.truth.verification import chosen, duplicates_refused, to_markdown

    if arguments.simulations < 1 or arguments.workers < 1:
        raise InputError("--simulations and --workers must be at least 1.")
    wanted = words(arguments.scenarios) if arguments.scenarios else []
    names = [scenario.name for scenario in chosen(scenarios(), wanted)]
    if not names and wanted != ["G19"]:
        known = ", ".join(dict.fromkeys(s.name.split()[0] for s in scenarios()))
        raise InputError(f"no scenario is called {', '.join(wanted)}. Known: {known}.")
    jobs = [(name, arguments.simulations, arguments.folders) for name in names]
    rows: list[Reached] = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name, found in zip(names, pool.map(_grade, jobs), strict=True):
            print(f"{name}: {sum(row.held is False for row in found)} of {len(found)} targets missed", file=sys.stderr)
            rows += found
    if not wanted or "G19" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(duplicates_refused(Path(folder), min(arguments.simulations, 20)))
    if arguments.write is not None:
        _replace_table(arguments.write, to_markdown(rows))
    if arguments.json:
        print_json([{**asdict(row), "held": row.held} for row in rows])
    else:
        print(to_markdown(rows), end="")
    return EXIT_MISSED if any(row.held is False and not row.within_chance for row in rows) else 0


def _grade(job: tuple[str, int, int]) -> "list[Reached]":
    """One scenario; in a process of its own."""
    from setpoint.truth.scenarios import scenarios
    from setpoint.truth.verification import FEW, reached, simulate

    name, simulations, folders = job
    scenario = next(s for s in scenarios() if s.name == name)
    rows = reached(simulate(scenario, min(simulations, FEW) if scenario.statuses_only else simulations))
    if folders:
        from setpoint.truth.verification import folder_row

        with tempfile.TemporaryDirectory() as folder:
            rows.append(folder_row(scenario, folders, Path(folder)))
    return rows


def _replace_table(path: Path, table: str) -> None:
    """Put `table` between the marks."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--write needs a file with the marks {BEGIN} and {END}, but {path}: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"--write needs a file with the marks {BEGIN} and {END}; {path} lacks them.")
    path.write_text(f"{before}{BEGIN}\n{table}{END}{after}", encoding="utf-8")
