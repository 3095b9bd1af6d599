"""`setpoint baselines --suite S`: optimum, clipped LQR, zero control and clones on every system of a suite."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, print_json, words
from setpoint.cli.progress import say, say_nothing
from setpoint.errors import InputError
from setpoint.references.tables import reference_tables

if TYPE_CHECKING:
    from setpoint.references.study import SystemReferences

_CASES = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint baselines`."""
    parser.add_argument("--suite", default="nominal", metavar="SUITE", help="nominal (default), tight, held_out, …")
    parser.add_argument("--systems", type=words, metavar="A,B", help="systems of the suite (default: all)")
    parser.add_argument("--cases", type=int, default=_CASES, metavar="N", help=f"cases per system (default {_CASES})")
    parser.add_argument(
        "--clones",
        type=int,
        default=0,
        metavar="N",
        help="also fit a clone to N optimal trajectories (needs scikit-learn)",
    )
    parser.add_argument(
        "--disturbed", action="store_true", help="also run closed loop with noise, including MPC (slow)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="systems to compute in parallel (default: 1)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print the page docs/reference/systems.md")
    add_json(form)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> int:
    """Compute and print the tables."""
    from setpoint import plants
    from setpoint.controllers.cloned import require_cloning
    from setpoint.demonstrations import MAX_ROWS
    from setpoint.problems import require_cases, require_in_suite, suite_systems

    known = suite_systems(arguments.suite)
    wanted = known if arguments.systems is None else tuple(dict.fromkeys(map(plants.canonical, arguments.systems)))
    for name in wanted:
        require_in_suite(name, arguments.suite)
    require_cases(arguments.cases)
    if arguments.clones > MAX_ROWS:
        raise InputError(f"--clones must be at most {MAX_ROWS}, got {arguments.clones}.")
    if arguments.clones:
        require_cloning(arguments.clones)
    if arguments.workers < 1:
        raise InputError(f"--workers must be at least 1, got {arguments.workers}.")
    found = _all_references(arguments, wanted)
    if arguments.json:
        print_json({"suite": arguments.suite, "systems": [asdict(each) for each in found]})
    elif arguments.markdown:
        print("\n".join(_page(arguments, found)))
    else:
        print("\n\n".join("\n".join(table.as_text()) for table in reference_tables(found)))
    return 0


def _all_references(arguments: argparse.Namespace, systems: "Sequence[str]") -> "list[SystemReferences]":
    """Return the references of every system, in order; they do not depend on the number of processes."""
    from setpoint.processes import ordered_map

    notify = say_nothing if arguments.quiet else say
    tasks = [(arguments.suite, name, arguments.cases, arguments.clones, arguments.disturbed) for name in systems]
    found = []
    with ordered_map(min(arguments.workers, len(tasks))) as run_all:
        for each in run_all(_references, tasks):
            notify(f"{each.system}: {each.cases} of {arguments.cases} {arguments.suite} cases have a certified optimum")
            found.append(each)
    return found


def _references(task: tuple[str, str, int, int, bool]) -> "SystemReferences":
    from setpoint.references.study import reference_study

    suite, system, cases, clones, disturbed = task
    return reference_study(suite, system, cases, demonstrations=clones, disturbed=disturbed)


def _page(arguments: argparse.Namespace, found: "Sequence[SystemReferences]") -> Iterator[str]:
    from setpoint import problems
    from setpoint.cli.systems import data_sheet
    from setpoint.problems import suite_systems

    options = [f"--suite {arguments.suite}"]
    options += [f"--systems {','.join(each.system for each in found)}"] if arguments.systems else []
    options += [f"--cases {arguments.cases}"]
    options += [f"--clones {arguments.clones}"] if arguments.clones else []
    options += ["--disturbed"] if arguments.disturbed else []
    yield "# Systems"
    yield ""
    yield (
        f"Written by `setpoint baselines {' '.join(options)} --markdown`: the baselines of every plant, then the data "
        "sheets that `setpoint systems NAME` prints; `setpoint systems NAME --plot` draws one. Every system also has a "
        "short name. The dataset of a system has the name of the system, with or without `_dataset`: `di`, "
        "`double_integrator` and `double_integrator_dataset` are the same."
    )
    yield ""
    yield "To add a plant of your own, see [Add a plant](../how_to/own_plant.md)."
    yield ""
    tight, family, kept = (", ".join(suite_systems(suite)) for suite in ("tight", "held_out", "held_out_systems"))
    yield (
        "Suites of test states: `nominal` has every system with its own parameters; `tight` has the systems where "
        f"the clipped LQR violates a bound that the optimum respects ({tight}); `held_out` has parameter values that "
        f"training never uses ({family}); `held_out_systems` has the nominal states of the systems on which no "
        f"universal model of the benchmark is trained ({kept})."
    )
    for table in reference_tables(found):
        yield ""
        yield from table.as_markdown()
    yield ""
    yield "## Data sheets"
    for each in found:
        yield ""
        yield f"### {each.system}"
        yield ""
        yield "```text"
        yield from data_sheet(problems.get(each.system))
        yield "```"
