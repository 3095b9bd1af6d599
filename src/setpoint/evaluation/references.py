"""Reference controllers shown in every table: certified optimum, clipped LQR, zero control."""

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
    """Solve the optima of the cases and evaluate the three reference controllers in every mode.

    Without disturbances, replanning changes nothing: the tail of an optimal plan is optimal (Bellman's principle), a
    feedback law that plans by simulation yields the same controls, and zero stays zero. So these controllers are run in
    open loop, and their rows are copied to the other modes.

    Under a disturbance every mode is run. In closed loop `tracking_lqr`, linear-quadratic feedback along the optimum,
    replaces the optimum, because a disturbed state may have no optimum.

    Cases without a certified optimum are excluded and counted in the optima.

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
