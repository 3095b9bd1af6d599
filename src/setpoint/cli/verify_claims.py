"""`setpoint verify-claims`: error rates and coverage of claims on simulated experiments with known ground truth."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.artifacts.atomic import write_json, write_text
from setpoint.cli.options import add_json, file_path, finite, print_json, words
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.truth.verification import TargetOutcome

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
EXIT_MISSED = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--simulations", type=int, default=200, metavar="N", help="simulated experiments per scenario (default: 200)"
    )
    parser.add_argument("--scenarios", default="", metavar="G0,G11", help="scenarios to run (default: all)")
    parser.add_argument(
        "--folders", type=int, default=0, metavar="N", help="also write and report N experiment folders per scenario"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="parallel processes (default: 1)")
    parser.add_argument(
        "--collect",
        type=file_path,
        metavar="FILE.json",
        help="add the results of each finished scenario to this file",
    )
    parser.add_argument(
        "--write", type=file_path, metavar="FILE", help=f"replace the text between {BEGIN} and {END} in this file"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the simulations and print or write the tables; return 4 if a target is missed by more than chance."""
    from setpoint.truth.scenarios import scenarios
    from setpoint.truth.verification import chosen, duplicates_refused, to_markdown

    if arguments.simulations < 1 or arguments.workers < 1:
        raise InputError("--simulations and --workers must be at least 1.")
    wanted = words(arguments.scenarios) if arguments.scenarios else []
    names = [scenario.name for scenario in chosen(scenarios(), wanted)]
    if not names and wanted != ["G19"]:
        known = ", ".join(dict.fromkeys(s.name.split()[0] for s in scenarios()))
        raise InputError(f"unknown scenario {', '.join(wanted)}. Known: {known}.")
    before = _read_collection(arguments.collect) if arguments.collect is not None else []
    jobs = [(name, arguments.simulations, arguments.folders) for name in names]
    rows: list[TargetOutcome] = []
    total_s = 0.0
    with ProcessPoolExecutor(arguments.workers) as pool:
        for name, (found, cpu_s) in zip(names, pool.map(_grade, jobs), strict=True):
            missed = f"{sum(row.missed for row in found)} of {len(found)} targets missed"
            print(f"{name}: {missed}, {cpu_s:.0f} s of CPU time", file=sys.stderr)
            rows += found
            total_s += cpu_s
            if arguments.collect is not None:
                write_json(arguments.collect, _plain(_joined(before, rows)))
    print(f"total: {total_s / 60.0:.1f} min of CPU time", file=sys.stderr)
    if not wanted or "G19" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(duplicates_refused(Path(folder), min(arguments.simulations, 20)))
    if arguments.collect is not None:
        rows = _joined(before, rows)
        write_json(arguments.collect, _plain(rows))
    if arguments.write is not None:
        _replace_table(arguments.write, to_markdown(rows))
    if arguments.json:
        print_json(_plain(rows))
    else:
        print(to_markdown(rows), end="")
    return EXIT_MISSED if any(row.missed for row in rows) else 0


def _grade(job: tuple[str, int, int]) -> "tuple[list[TargetOutcome], float]":
    """Grade one scenario in a worker process."""
    from setpoint.api.verification import grade_scenario

    return grade_scenario(*job)


def _plain(rows: "Sequence[TargetOutcome]") -> list[dict[str, Any]]:
    return [finite({**asdict(row), "held": row.held}) for row in rows]


def _read_collection(path: Path) -> "list[TargetOutcome]":
    """Return the results in the file, or none if it does not exist yet."""
    from setpoint.truth.targets import Target
    from setpoint.truth.verification import TargetOutcome

    try:
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        return [
            TargetOutcome(**{k: v for k, v in row.items() if k != "held"} | {"target": Target(**row["target"])})
            for row in kept
        ]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"--collect needs a new file or one that it wrote, got {path}: {error}") from error


def _joined(before: "Sequence[TargetOutcome]", rows: "Sequence[TargetOutcome]") -> "list[TargetOutcome]":
    """Return `rows` with the earlier results of other existing scenarios, in the order of the scenarios."""
    from setpoint.truth.scenarios import scenarios

    new = {row.scenario for row in rows}
    order = {name: k for k, name in enumerate([*(scenario.name for scenario in scenarios()), "G19"])}
    kept = [row for row in before if row.scenario not in new and row.scenario in order]
    return sorted([*kept, *rows], key=lambda row: order[row.scenario])


def _replace_table(path: Path, table: str) -> None:
    """Replace the text between the markers with `table`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"--write needs a file with the markers {BEGIN} and {END}, but cannot read {path}: {error}"
        ) from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"--write needs a file with the markers {BEGIN} and {END}; {path} lacks them.")
    write_text(path, f"{before}{BEGIN}\n{table}{END}{after}")
