"""Named sets of test states. Training states come from other seeds and are checked against these."""

import numpy as np
from jaxtyping import Float

from setpoint.errors import unknown_name
from setpoint.problems.problem import Problem

DEFAULT_CASES = 300
SUITES = ("nominal",)


def suite_states(problem: Problem, suite: str, cases: int) -> Float[np.ndarray, "cases n_x"]:
    """The first `cases` states of `suite`; a longer suite begins with the shorter one.

    Raises:
        InputError: no such suite.
    """
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    return problem.initial_states(cases, "suite", suite)
