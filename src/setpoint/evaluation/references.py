"""The controllers that every table shows beside the one in question: certified optimum, clipped LQR, zero control."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from setpoint.controllers import ClippedLqr, Controller, ZeroControl
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.tracking import TrackingLqr
from setpoint.evaluation.optima import Optima, solve_optima
from setpoint.evaluation.protocol import OPEN_LOOP, Mode
from setpoint.evaluation.run import Evaluated, evaluate
from setpoint.problems import MoveBlocking, Problem
from setpoint.simulation import NO_DISTURBANCE, Disturbance


def evaluate_references(
    problem: Problem,
    states: Float[np.ndarray, "C n_x"],
    modes: Sequence[Mode],
    blocking: MoveBlocking,
    disturbance: Disturbance = NO_DISTURBANCE,
) -> tuple[Optima, Evaluated]:
    """The optima of the cases, and all three controllers in every mode.

    Without disturbances, replanning the rest of an optimal plan gives that rest (Bellman's principle), a feedback law
    that plans by simulating itself comes to the same controls, and zero stays zero. So these controllers are run in
    open loop, and their rows in the other modes equal those.

    Under a disturbance every mode is run. Where it replans, the optimum gives way to linear-quadratic feedback around
    it, `tracking_lqr`: a state that a disturbance leads to need not have an optimum.

    Cases without a certified optimum are left out of all of it and counted in the optima.

    Raises:
        InputError: no case has a certified optimum.
    """
    optimum = OptimalController(problem)
    optima = solve_optima(problem, states, blocking, optimum)
    feedback, found = (ClippedLqr(problem), ZeroControl(problem)), Evaluated()
    if disturbance.name:
        tracking = TrackingLqr(problem, optimum)
        for mode in modes:
            best: Controller = tracking if mode.replan_interval else optimum
            for controller in (best, *feedback):
                found.add(evaluate(problem, controller, optima, mode, disturbance))
        return optima, found
    for controller in (optimum, *feedback):
        rows = evaluate(problem, controller, optima, OPEN_LOOP)
        for mode in modes:
            found.add(rows.in_mode(mode))
    return optima, found
