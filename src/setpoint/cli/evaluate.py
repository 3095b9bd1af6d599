"""`setpoint evaluate`: a model or controller on test states, compared with optimum, clipped LQR and zero control."""

import argparse
from pathlib import Path
from typing import Any

from setpoint.cli.evaluation_cases import add_disturbance_options, disturbance_of, test_cases
from setpoint.cli.evaluation_table import table
from setpoint.cli.options import add_json, add_workspace, file_path, print_json
from setpoint.cli.progress import say, say_nothing
from setpoint.cli.subject import subject_of
from setpoint.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint evaluate`."""
    subject = parser.add_argument_group("what to evaluate")
    subject.add_argument("--model-path", type=file_path, metavar="FOLDER", help="a trained adapter, or a link to one")
    subject.add_argument("--model-type", metavar="TYPE", help="single_system or universal; checked against the adapter")
    subject.add_argument(
        "--base-model", metavar="BASE", help="base model of the adapter; without --model-path, the untrained base"
    )
    subject.add_argument(
        "--controller", metavar="NAME", help="controller instead of a model: optimum, lqr, zero, tracking_lqr or mpc"
    )
    subject.add_argument(
        "--policy", metavar="MODULE:FUNCTION", help="function of the observation that returns the control"
    )
    cases = parser.add_argument_group("test cases")
    cases.add_argument("--system", metavar="SYSTEM", help="system (default: those the adapter was trained on)")
    cases.add_argument(
        "--suite", metavar="SUITE", help="test suite: nominal (default), tight, held_out or held_out_systems"
    )
    cases.add_argument("--eval-dataset", metavar="NAME", help="dataset whose test split provides the initial states")
    cases.add_argument("--initial-state", type=float, nargs="+", metavar="X", help="a single initial state")
    cases.add_argument(
        "--num-test-cases", type=int, metavar="N", help="number of cases (default: 300, or the test split)"
    )
    cases.add_argument("--test-type", metavar="TYPE", help="standard (open loop), mpc (replanning) or both (default)")
    cases.add_argument(
        "--replan-every",
        "--mpc-horizon",
        dest="replan_every",
        type=int,
        metavar="K",
        help="replan every K steps (default 5); --mpc-horizon is an alias: an interval, not a horizon, which is always "
        "that of the system",
    )
    add_disturbance_options(parser)
    parser.add_argument(
        "--save-plots", type=file_path, metavar="FOLDER", help="save plots of the first cases to this folder"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_workspace(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from setpoint import problems
    from setpoint.api.evaluation import evaluate_groups, modes_of, summarise

    notify = say_nothing if arguments.quiet else say
    disturbance = disturbance_of(arguments)
    subject = subject_of(arguments)
    wanted = []
    for problem in map(problems.get, subject.systems):
        modes = modes_of(problem, arguments.test_type, arguments.replan_every, "--replan-every", subject.covered)
        wanted.append((modes, test_cases(arguments, problem)))
    if arguments.save_plots is not None:
        _make_folder(arguments.save_plots)
    # Load the model before computing the references, so that an unusable model fails early.
    make = None if subject.load is None else subject.load()
    found = evaluate_groups(make, wanted, disturbance, label=subject.label, notify=notify)
    summary = summarise(found.episodes)
    plots = _save_plots(arguments, found.trajectories) if arguments.save_plots is not None else []
    if arguments.json:
        disturbed = {"disturbance": disturbance.name} if disturbance.name else {}
        print_json({"subject": subject.label, **disturbed, "results": summary, "plots": plots})
    else:
        print("\n".join(table(subject.label, summary, disturbance.name)))
    return 0


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--save-plots must name a writable folder: {error}.") from error


def _save_plots(arguments: argparse.Namespace, trajectories: Any) -> list[str]:
    from setpoint.reports.figures.episodes import episode_figures

    try:
        figures = episode_figures(trajectories)
        saved = [figure.save(arguments.save_plots / f"{figure.name}.svg") for figure in figures]
    except OSError as error:
        raise InputError(f"--save-plots must name a writable folder: {error}.") from error
    if not arguments.quiet:
        say(f"{len(saved)} plots in {arguments.save_plots}")
    return [str(path) for path in saved]
