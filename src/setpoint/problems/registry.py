"""Registry of problems, by the name of their plant."""

import math

from setpoint import plants
from setpoint.modes import EvaluationMode
from setpoint.problems.problem import Problem

_RAISED_RADIUS = 1.1
# Circular speed at radius r is sqrt(mu / r), with mu = 1 in the plant's units.
_RAISED_SPEED = _RAISED_RADIUS**-0.5

_PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            plant=plants.get("double_integrator"),
            steps=50,
            q=(10.0, 10.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(0.8, 0.8),
        ),
        Problem(
            plant=plants.get("van_der_pol"),
            steps=50,
            q=(10.0, 10.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(1.5, 1.5),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
        ),
        Problem(
            plant=plants.get("pendulum"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(0.4, 0.4),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
            open_loop=False,
            detuned_gain=0.7,
        ),
        Problem(
            plant=plants.get("double_integrator_tight"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(0.9, 0.3),
        ),
        Problem(
            plant=plants.get("linear_oscillator"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(1.0, 1.2),
        ),
        Problem(
            plant=plants.get("van_der_pol_tight"),
            steps=50,
            q=(10.0, 10.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(1.2, 1.2),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
        ),
        Problem(
            plant=plants.get("duffing"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=50.0,
            target=(0.0, 0.0),
            half_width=(1.2, 0.6),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
            detuned_gain=0.3,
        ),
        Problem(
            plant=plants.get("pendulum_swingup"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=100.0,
            target=(0.0, 0.0),
            half_width=(math.pi, 1.0),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
            open_loop=False,
            detuned_gain=0.7,
            starts=8,
        ),
        Problem(
            plant=plants.get("cart_pole"),
            steps=50,
            q=(10.0, 1.0, 10.0, 1.0),
            r=(0.01,),
            terminal_weight=50.0,
            target=(0.0, 0.0, 0.0, 0.0),
            half_width=(0.5, 0.3, 0.2, 0.2),
            evaluation_mode=EvaluationMode.CLOSED_LOOP,
            open_loop=False,
            detuned_gain=0.7,
        ),
        Problem(
            plant=plants.get("cw_rendezvous"),
            steps=50,
            q=(10.0, 10.0, 1.0, 1.0),
            r=(0.1, 0.1),
            terminal_weight=50.0,
            target=(0.0, 0.0, 0.0, 0.0),
            half_width=(0.4, 1.0, 0.1, 0.1),
        ),
        Problem(
            plant=plants.get("orbit_raising"),
            steps=50,
            q=(10.0, 10.0, 10.0),
            r=(1.0, 1.0),
            terminal_weight=100.0,
            target=(_RAISED_RADIUS, 0.0, _RAISED_SPEED),
            half_width=(0.03, 0.03, 0.03),
            centre=(1.0, 0.0, 1.0),
        ),
        Problem(
            plant=plants.get("detumble"),
            steps=50,
            q=(10.0, 10.0, 10.0),
            r=(0.1, 0.1, 0.1),
            terminal_weight=10.0,
            target=(0.0, 0.0, 0.0),
            half_width=(1.0, 1.0, 1.0),
            detuned_gain=0.3,
        ),
        Problem(
            plant=plants.get("attitude_mrp"),
            steps=50,
            q=(10.0, 10.0, 10.0, 1.0, 1.0, 1.0),
            r=(0.1, 0.1, 0.1),
            terminal_weight=50.0,
            target=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
            half_width=(0.5, 0.5, 0.5, 0.15, 0.15, 0.15),
            detuned_gain=0.3,
        ),
    )
}


def get(name: str) -> Problem:
    """Return the problem of the plant with this full or short name.

    Raises:
        InputError: no such plant.
    """
    full = plants.canonical(name)
    if full in _PROBLEMS:
        return _PROBLEMS[full]
    problem: Problem = plants.plugins().problems[full]
    return problem
