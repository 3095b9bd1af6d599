"""Problems by the name of their plant."""

from setpoint import systems
from setpoint.problems.problem import Problem

_PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            plant=systems.get("double_integrator"),
            steps=50,
            q=(10.0, 10.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(0.8, 0.8),
        ),
        Problem(
            plant=systems.get("van_der_pol"),
            steps=50,
            q=(10.0, 10.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(1.5, 1.5),
            judged="closed_loop",
        ),
        Problem(
            plant=systems.get("pendulum"),
            steps=50,
            q=(10.0, 1.0),
            r=(0.1,),
            terminal_weight=10.0,
            target=(0.0, 0.0),
            half_width=(0.4, 0.4),
            judged="closed_loop",
            open_loop=False,
            detuned_gain=0.7,
        ),
    )
}


def get(name: str) -> Problem:
    """The problem posed for the plant called `name` (a full or a short name).

    Raises:
        InputError: no such plant.
    """
    return _PROBLEMS[systems.canonical(name)]
