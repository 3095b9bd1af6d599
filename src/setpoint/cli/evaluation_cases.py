"""From which states `setpoint evaluate` starts, and what the world does that a controller does not know of."""

import argparse
from typing import TYPE_CHECKING

from setpoint.cli.options import workspace_of
from setpoint.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from setpoint.problems import Problem, TestCases
    from setpoint.simulation import Disturbance


def add_disturbance_options(parser: argparse.ArgumentParser) -> None:
    """What differs from the undisturbed world."""
    world = parser.add_argument_group("in which world (default: undisturbed)")
    world.add_argument(
        "--state-noise",
        type=float,
        default=0.0,
        metavar="S",
        help="error of measured states, as a share of the initial set's half width (standard deviation)",
    )
    world.add_argument(
        "--input-noise",
        type=float,
        default=0.0,
        metavar="S",
        help="error of applied controls, as a share of half their range (standard deviation)",
    )
    world.add_argument(
        "--mismatch",
        type=float,
        default=0.0,
        metavar="S",
        help="every parameter of the real plant is off by this share, up or down as drawn for each case",
    )
    world.add_argument(
        "--delay-steps", type=int, default=0, metavar="K", help="a control takes effect K steps after it was chosen"
    )
    world.add_argument("--disturbance-seed", type=int, default=0, metavar="N", help="of all draws (default 0)")


def disturbance_of(arguments: argparse.Namespace) -> "Disturbance":
    """The disturbance that the options amount to.

    Raises:
        InputError: a size is impossible.
    """
    from setpoint.simulation import Disturbance

    return Disturbance(
        arguments.state_noise,
        arguments.input_noise,
        arguments.mismatch,
        arguments.delay_steps,
        arguments.disturbance_seed,
    )


def test_cases(arguments: argparse.Namespace, problem: "Problem") -> "tuple[TestCases, ...]":
    """The cases of one system: of a suite, of the test split of a data set, or from one state.

    Raises:
        InputError: more than one of these is named, or the one does not have what is asked for.
    """
    from setpoint.problems import DEFAULT_CASES, TestCases, suite_cases

    sources = {
        "--suite": arguments.suite,
        "--eval-dataset": arguments.eval_dataset,
        "--initial-state": arguments.initial_state,
    }
    named = [option for option, value in sources.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} exclude each other. Name one source of initial states.")
    count = arguments.num_test_cases
    if arguments.initial_state is not None:
        if count is not None:
            raise InputError("--num-test-cases would have no effect on one --initial-state. Leave one of them out.")
        return (TestCases(problem, _one_state(problem, arguments.initial_state)),)
    if arguments.eval_dataset is not None:
        return (TestCases(problem, _test_split(arguments, problem)),)
    return suite_cases(arguments.suite or "nominal", problem.name, DEFAULT_CASES if count is None else count)


def _one_state(problem: "Problem", values: list[float]) -> "np.ndarray":
    import numpy as np

    plant = problem.plant
    if len(values) != plant.n_x:
        names = ", ".join(signal.name for signal in plant.states)
        raise InputError(f"an initial state of {problem.name} has {plant.n_x} values ({names}), but got {len(values)}.")
    states = np.array([values])
    problem.require_initial(states)
    return states


def _test_split(arguments: argparse.Namespace, problem: "Problem") -> "np.ndarray":
    from setpoint.demonstrations import load_rows, open_dataset

    count = arguments.num_test_cases
    rows = load_rows(open_dataset(workspace_of(arguments), arguments.eval_dataset), "test", problem.name)
    states = rows.states[[kind == "initial" for kind in rows.kinds]]
    if count is not None and not 1 <= count <= len(states):
        raise InputError(
            f"--num-test-cases must be 1 to {len(states)}, the initial states of {problem.name} in the test split of "
            f"data set {arguments.eval_dataset!r}, but is {count}."
        )
    return states[:count]
