"""Initial states and disturbances of `setpoint evaluate`."""

import argparse
from typing import TYPE_CHECKING

from setpoint.cli.options import workspace_of
from setpoint.cli.progress import say
from setpoint.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from setpoint.problems import Problem, TestCases
    from setpoint.simulation import Disturbance


def add_disturbance_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for noise, plant mismatch and delay."""
    disturbances = parser.add_argument_group("disturbances (default: none)")
    disturbances.add_argument(
        "--state-noise",
        type=float,
        default=0.0,
        metavar="S",
        help="standard deviation of the measurement noise, as a fraction of the initial set's half-width",
    )
    disturbances.add_argument(
        "--input-noise",
        type=float,
        default=0.0,
        metavar="S",
        help="standard deviation of the input noise, as a fraction of half the control range",
    )
    disturbances.add_argument(
        "--mismatch",
        type=float,
        default=0.0,
        metavar="S",
        help="relative error of every plant parameter, with a random sign for each case",
    )
    disturbances.add_argument("--delay-steps", type=int, default=0, metavar="K", help="input delay in steps")
    disturbances.add_argument(
        "--disturbance-seed", type=int, default=0, metavar="N", help="seed of the disturbances (default 0)"
    )


def disturbance_of(arguments: argparse.Namespace) -> "Disturbance":
    """Return the disturbance that the options describe.

    Raises:
        InputError: a value is out of range.
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
    """Return the test cases of one system: a suite, the test split of a dataset, or one state.

    Raises:
        InputError: several sources are named, or the source has no such cases.
    """
    from setpoint.problems import DEFAULT_CASES, TestCases, suite_cases

    sources = {
        "--suite": arguments.suite,
        "--eval-dataset": arguments.eval_dataset,
        "--initial-state": arguments.initial_state,
    }
    named = [option for option, value in sources.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} cannot be combined. Name one source of initial states.")
    count = arguments.num_test_cases
    if arguments.initial_state is not None:
        if count is not None:
            raise InputError("--num-test-cases has no effect with --initial-state. Use one of them.")
        return (TestCases(problem, _one_state(problem, arguments.initial_state)),)
    if arguments.eval_dataset is not None:
        return (TestCases(problem, _test_split(arguments, problem)),)
    return suite_cases(arguments.suite or "nominal", problem.name, DEFAULT_CASES if count is None else count)


def _one_state(problem: "Problem", values: list[float]) -> "np.ndarray":
    """Return the state; one outside the initial set, in which test cases lie, is evaluated with a remark."""
    import numpy as np

    plant = problem.plant
    if len(values) != plant.n_x:
        names = ", ".join(signal.name for signal in plant.states)
        raise InputError(f"an initial state of {problem.name} needs {plant.n_x} values ({names}), got {len(values)}.")
    states = np.array([values])
    if not np.isfinite(states).all():
        raise InputError(f"an initial state must be finite, got {values}.")
    try:
        problem.require_initial(states)
    except InputError as error:
        say(f"remark: {error} It is evaluated nevertheless; no test case starts there.")
    return states


def _test_split(arguments: argparse.Namespace, problem: "Problem") -> "np.ndarray":
    from setpoint.demonstrations import load_rows, open_dataset

    count = arguments.num_test_cases
    rows = load_rows(open_dataset(workspace_of(arguments), arguments.eval_dataset), "test", problem.name)
    states = rows.states[[kind == "initial" for kind in rows.kinds]]
    if count is not None and not 1 <= count <= len(states):
        raise InputError(
            f"--num-test-cases must be 1 to {len(states)} (the initial states of {problem.name} in the test split of "
            f"dataset {arguments.eval_dataset!r}), got {count}."
        )
    return states[:count]
