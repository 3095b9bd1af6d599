"""Whether a plant's dynamics can be given to a solver.

They must accept symbols, not depend on time, and be linear where they say so.
"""

from setpoint.errors import InputError
from setpoint.plants.plant import Plant


def require_symbolic(plant: Plant) -> None:
    """Check one step of `plant` on CasADi symbols; a linear plant's step must have constant derivatives.

    Raises:
        InputError: the dynamics do not accept symbols or depend on time, or the plant says `linear = True` and is not.
    """
    import casadi  # takes a while, and the list of systems needs it only where there are plug-ins

    t, x, u = casadi.SX.sym("t"), casadi.SX.sym("x", plant.n_x), casadi.SX.sym("u", plant.n_u)
    try:
        step = casadi.vertcat(*plant.step_components(t, casadi.vertsplit(x), casadi.vertsplit(u), casadi))
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0].rstrip('.')}"
        raise InputError(
            f"{plant.name}: derivative must accept CasADi symbols, but on them it raises {reason}. Write it without "
            "`if`, `float` or NumPy on a state or control, as one formula with the functions of xp."
        ) from error
    if casadi.depends_on(step, t):
        raise InputError(
            f"{plant.name}: derivative must not depend on time, for plans, prompts and feedback start at any time. "
            "Make what varies a state."
        )
    w = casadi.vertcat(x, u)
    if plant.linear and casadi.depends_on(casadi.jacobian(step, w), w):
        raise InputError(
            f"{plant.name}: a plant with `linear = True` must be linear in its states and controls, but its "
            "derivatives depend on them. Leave out `linear = True`."
        )
