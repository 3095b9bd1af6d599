"""`setpoint evaluate`: a model or reference controller on test states, beside optimum, clipped LQR, zero control."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.evaluation_cases import add_disturbance_options, disturbance_of, test_cases
from setpoint.cli.evaluation_table import table
from setpoint.cli.options import add_json, add_workspace, print_json
from setpoint.cli.progress import say, say_nothing
from setpoint.cli.subject import Subject, subject_of
from setpoint.errors import InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.controllers import Controller
    from setpoint.evaluation import Mode
    from setpoint.evaluation.run import Evaluated
    from setpoint.problems import Problem, TestCases
    from setpoint.simulation import Disturbance

_TEST_TYPES = ("standard", "mpc", "both")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint evaluate`."""
    subject = parser.add_argument_group("what is evaluated")
    subject.add_argument("--model-path", type=Path, metavar="FOLDER", help="a trained adapter, or a link to one")
    subject.add_argument("--model-type", metavar="TYPE", help="single_system or universal; checked against the adapter")
    subject.add_argument("--base-model", metavar="BASE", help="the adapter's base; alone: that base without training")
    subject.add_argument(
        "--controller", metavar="NAME", help="optimum, lqr, zero, tracking_lqr or mpc instead of a model"
    )
    cases = parser.add_argument_group("on which cases")
    cases.add_argument("--system", metavar="SYSTEM", help="by default, the systems that the adapter was trained on")
    cases.add_argument("--suite", metavar="SUITE", help="nominal (default), tight, held_out or held_out_systems")
    cases.add_argument("--eval-dataset", metavar="NAME", help="instead, the initial states of its test split")
    cases.add_argument("--initial-state", type=float, nargs="+", metavar="X", help="instead, from this one state")
    cases.add_argument("--num-test-cases", type=int, metavar="N", help="the first N (default: 300, or the test split)")
    cases.add_argument("--test-type", metavar="TYPE", help="standard (open loop), mpc (replanning) or both (default)")
    cases.add_argument("--mpc-horizon", type=int, metavar="K", help="replan every K steps (default 5)")
    add_disturbance_options(parser)
    parser.add_argument("--save-plots", type=Path, metavar="FOLDER", help="draw the first cases into this folder")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_workspace(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from setpoint import problems
    from setpoint.evaluation.run import Evaluated
    from setpoint.evaluation.summary import summarise

    disturbance = disturbance_of(arguments)
    subject = subject_of(arguments)
    wanted = [
        (_modes(arguments, problem), test_cases(arguments, problem)) for problem in map(problems.get, subject.systems)
    ]
    if arguments.save_plots is not None:
        _make_folder(arguments.save_plots)
    # After every argument was looked at, and before anything is computed for a model that cannot be used.
    make = None if subject.load is None else subject.load()
    found = Evaluated()
    for modes, groups in wanted:
        first = 0
        for group in groups:
            rows, solved = _evaluate(arguments, subject, make, group, modes, disturbance)
            found.add(rows.numbered_from(first))
            first += solved
    summary = summarise(found.episodes)
    plots = _save_plots(arguments, found.trajectories) if arguments.save_plots is not None else []
    if arguments.json:
        world = {"disturbance": disturbance.name} if disturbance.name else {}
        print_json({"subject": subject.label, **world, "results": summary, "plots": plots})
    else:
        print("\n".join(table(subject.label, summary, disturbance.name)))
    return 0


def _evaluate(
    arguments: argparse.Namespace,
    subject: Subject,
    make: "Callable[[Problem], Controller] | None",
    group: "TestCases",
    modes: "tuple[Mode, ...]",
    disturbance: "Disturbance",
) -> "tuple[Evaluated, int]":
    """The rows of one group of cases, and how many cases have an optimum."""
    from setpoint.evaluation.references import evaluate_references
    from setpoint.evaluation.run import evaluate

    tell, problem, count = say_nothing if arguments.quiet else say, group.problem, len(group.states)
    tell(f"{_title(problem)}: {count} cases, optimum, lqr and zero")
    optima, found = evaluate_references(problem, group.states, modes, subject.blocking, disturbance)
    if optima.rejected:
        tell(f"{problem.name}: {optima.rejected} of {count} cases have no certified optimum and are left out")
    if make is not None:
        controller = make(problem)
        for mode in modes:
            if not any((row.controller, row.mode) == (controller.name, mode.name) for row in found.episodes):
                tell(f"{_title(problem)}: {len(optima)} cases, {subject.label}, {mode.name}")
                found.add(evaluate(problem, controller, optima, mode, disturbance))
    return found, len(optima)


def _title(problem: "Problem") -> str:
    """The system, with the parameters that make it another member of its family."""
    from setpoint import systems

    nominal = systems.get(problem.name).parameters
    changed = [f"{name}={value:g}" for name, value in problem.plant.parameters.items() if value != nominal[name]]
    return " ".join([problem.name, *changed])


def _modes(arguments: argparse.Namespace, problem: "Problem") -> "tuple[Mode, ...]":
    """Open loop, replanning, or both where open loop means something."""
    from setpoint.evaluation import OPEN_LOOP, Mode
    from setpoint.modes import REPLAN_STEPS

    wanted = arguments.test_type or "both"
    if wanted not in _TEST_TYPES:
        raise unknown_name("test type", wanted, _TEST_TYPES)
    usual = min(REPLAN_STEPS, problem.steps)
    interval = usual if arguments.mpc_horizon is None else arguments.mpc_horizon
    if not 1 <= interval <= problem.steps:
        raise InputError(f"--mpc-horizon must be 1 to {problem.steps} steps, but is {interval}.")
    if wanted == "standard" and not problem.open_loop:
        raise InputError(
            f"{problem.name} is unstable in open loop, where a plan says nothing about a model. Use --test-type mpc."
        )
    replanning = Mode(interval)
    if wanted == "mpc" or not problem.open_loop:
        return (replanning,)
    return (OPEN_LOOP,) if wanted == "standard" else (OPEN_LOOP, replanning)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--save-plots must name a folder that can be written: {error}.") from error


def _save_plots(arguments: argparse.Namespace, trajectories: Any) -> list[str]:
    try:
        from setpoint.reports.trajectory_figure import save_trajectory_figures

        saved = save_trajectory_figures(arguments.save_plots, trajectories)
    except ImportError as error:
        raise InputError("--save-plots needs matplotlib. Install it with: pip install 'setpoint[report]'") from error
    except OSError as error:
        raise InputError(f"--save-plots must name a folder that can be written: {error}.") from error
    if not arguments.quiet:
        say(f"{len(saved)} plots in {arguments.save_plots}")
    return [str(path) for path in saved]
