"""The controllers that every table shows beside the one in question: certified optimum, clipped LQR, zero control."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from setpoint.controllers import ClippedLqr, ZeroControl
from setpoint.controllers.optimal import OptimalController
from setpoint.evaluation.optima import Optima, solve_optima
from setpoint.evaluation.protocol import OPEN_LOOP, Mode
from setpoint.evaluation.run import Evaluated, evaluate
from setpoint.problems import MoveBlocking, Problem


def evaluate_references(
    problem: Problem, states: Float[np.ndarray, "C n_x"], modes: Sequence[Mode], blocking: MoveBlocking
) -> tuple[Optima, Evaluated]:
    """The optima of the cases, and all three controllers in every mode.

    Without disturbances, replanning the rest of an optimal plan gives that rest (Bellman's principle), a feedback law
    that plans by simulating itself comes to the same controls, and zero stays zero. So these controllers are run in
    open loop, and their rows in the other modes equal those.

    Cases without a certified optimum are left out of all of it and counted in the optima.

    Raises:
        SetpointError: no case has a certified optimum.
    """
    optimum = OptimalController(problem)
    optima = solve_optima(problem, states, blocking, optimum)
    found = Evaluated()
    for controller in (optimum, ClippedLqr(problem), ZeroControl(problem)):
        rows = evaluate(problem, controller, optima, OPEN_LOOP)
        for mode in modes:
            found.add(rows.in_mode(mode))
    return optima, found
