"""Check that a solver can use the dynamics of a plant.

They must accept symbols, must not depend on time, and must be linear if the plant says so.
"""

from setpoint.errors import InputError
from setpoint.plants.plant import Plant


def require_symbolic(plant: Plant) -> None:
    """Check one step of `plant` on CasADi symbols; a linear plant's step must have constant derivatives.

    Raises:
        InputError: the dynamics do not accept symbols or depend on time, or are not linear despite `linear = True`.
    """
    import casadi  # slow to import, and listing the systems needs it only with plug-ins

    t, x, u = casadi.SX.sym("t"), casadi.SX.sym("x", plant.n_x), casadi.SX.sym("u", plant.n_u)
    try:
        step = casadi.vertcat(*plant.step_components(t, casadi.vertsplit(x), casadi.vertsplit(u), casadi))
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0].rstrip('.')}"
        raise InputError(
            f"{plant.name}: derivative must accept CasADi symbols, but raises {reason}. Write it as one formula "
            "with the functions of xp, without `if`, `float` or NumPy on a state or control."
        ) from error
    if casadi.depends_on(step, t):
        raise InputError(
            f"{plant.name}: derivative must not depend on time, because plans may start at any time. "
            "Add a state for what varies with time."
        )
    # Linear means a constant Jacobian. Checked on the RK4 step, which is what the quadratic program contains.
    w = casadi.vertcat(x, u)
    if plant.linear and casadi.depends_on(casadi.jacobian(step, w), w):
        raise InputError(
            f"{plant.name}: a plant with `linear = True` must be linear in its states and controls, but its "
            "Jacobian depends on them. Remove `linear = True`."
        )
