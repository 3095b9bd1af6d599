"""`setpoint evaluate`: a model or reference controller on test states, beside optimum, clipped LQR, zero control."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.evaluation_table import table
from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of
from setpoint.cli.progress import say, say_nothing
from setpoint.cli.subject import Subject, subject_of
from setpoint.errors import InputError, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from setpoint.evaluation import Mode
    from setpoint.problems import Problem

_TEST_TYPES = ("standard", "mpc", "both")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint evaluate`."""
    subject = parser.add_argument_group("what is evaluated")
    subject.add_argument("--model-path", type=Path, metavar="FOLDER", help="a trained adapter, or a link to one")
    subject.add_argument("--model-type", metavar="TYPE", help="single_system or universal; checked against the adapter")
    subject.add_argument("--base-model", metavar="BASE", help="the adapter's base; alone: that base without training")
    subject.add_argument("--controller", metavar="NAME", help="optimum, lqr or zero instead of a model")
    cases = parser.add_argument_group("on which cases")
    cases.add_argument("--system", metavar="SYSTEM", help="by default, the systems that the adapter was trained on")
    cases.add_argument("--eval-dataset", metavar="NAME", help="initial states of its test split (default: the suite)")
    cases.add_argument("--num-test-cases", type=int, metavar="N", help="the first N (default: 300, or the test split)")
    cases.add_argument("--test-type", metavar="TYPE", help="standard (open loop), mpc (replanning) or both (default)")
    cases.add_argument("--mpc-horizon", type=int, default=5, metavar="K", help="replan every K steps (default 5)")
    parser.add_argument("--save-plots", type=Path, metavar="FOLDER", help="draw the first cases into this folder")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_workspace(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    from setpoint import problems
    from setpoint.evaluation.run import Evaluated
    from setpoint.evaluation.summary import summarise

    subject = subject_of(arguments)
    cases = [
        (problem, _modes(arguments, problem), _states(arguments, problem))
        for problem in map(problems.get, subject.systems)
    ]
    found = Evaluated()
    for problem, modes, states in cases:
        found.add(_evaluate(arguments, subject, problem, modes, states))
    summary = summarise(found.episodes)
    plots = _save_plots(arguments, found.trajectories) if arguments.save_plots is not None else []
    if arguments.json:
        print_json({"subject": subject.label, "results": summary, "plots": plots})
    else:
        print("\n".join(table(subject.label, summary)))
    return 0


def _evaluate(
    arguments: argparse.Namespace,
    subject: Subject,
    problem: "Problem",
    modes: "tuple[Mode, ...]",
    states: "np.ndarray",
) -> Any:
    from setpoint.evaluation.references import evaluate_references
    from setpoint.evaluation.run import evaluate

    tell = say_nothing if arguments.quiet else say
    tell(f"{problem.name}: {len(states)} cases, optimum, lqr and zero")
    optima, found = evaluate_references(problem, states, modes, subject.blocking)
    if optima.rejected:
        tell(f"{problem.name}: {optima.rejected} of {len(states)} cases have no certified optimum and are left out")
    if subject.controller is not None:
        controller = subject.controller(problem)
        for mode in modes:
            tell(f"{problem.name}: {len(states)} cases, {subject.label}, {mode.name}")
            found.add(evaluate(problem, controller, optima, mode))
    return found


def _modes(arguments: argparse.Namespace, problem: "Problem") -> "tuple[Mode, ...]":
    """Open loop, replanning, or both where open loop means something."""
    from setpoint.evaluation import OPEN_LOOP, Mode

    wanted = arguments.test_type or "both"
    if wanted not in _TEST_TYPES:
        raise unknown_name("test type", wanted, _TEST_TYPES)
    if not 1 <= arguments.mpc_horizon <= problem.steps:
        raise InputError(f"--mpc-horizon must be 1 to {problem.steps} steps, but is {arguments.mpc_horizon}.")
    if wanted == "standard" and not problem.open_loop:
        raise InputError(
            f"{problem.name} is unstable in open loop, where a plan says nothing about a model. Use --test-type mpc."
        )
    replanning = Mode(arguments.mpc_horizon)
    if wanted == "mpc" or not problem.open_loop:
        return (replanning,)
    return (OPEN_LOOP,) if wanted == "standard" else (OPEN_LOOP, replanning)


def _states(arguments: argparse.Namespace, problem: "Problem") -> "np.ndarray":
    """The initial states of the cases: from the nominal suite, or from the test split of a data set."""
    from setpoint.demonstrations import load_rows, open_dataset
    from setpoint.evaluation import EvaluationConfig
    from setpoint.problems import DEFAULT_CASES

    count = arguments.num_test_cases
    if arguments.eval_dataset is None:
        return EvaluationConfig.named("standard", problem.name, DEFAULT_CASES if count is None else count).states()
    rows = load_rows(open_dataset(workspace_of(arguments), arguments.eval_dataset), "test", problem.name)
    states = rows.states[[kind == "initial" for kind in rows.kinds]]
    if count is not None and not 1 <= count <= len(states):
        raise InputError(
            f"--num-test-cases must be 1 to {len(states)}, the initial states of {problem.name} in the test split of "
            f"data set {arguments.eval_dataset!r}, but is {count}."
        )
    return states[:count]


def _save_plots(arguments: argparse.Namespace, trajectories: Any) -> list[str]:
    try:
        from setpoint.reports.trajectory_figure import save_trajectory_figures

        saved = save_trajectory_figures(arguments.save_plots, trajectories)
    except ImportError as error:
        raise InputError("--save-plots needs matplotlib. Install it with: pip install 'setpoint[report]'") from error
    if not arguments.quiet:
        say(f"{len(saved)} plots in {arguments.save_plots}")
    return [str(path) for path in saved]
