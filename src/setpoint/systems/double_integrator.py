"""A mass on a frictionless rail, pushed by a force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.systems.plant import Plant, Signal


@dataclass(frozen=True)
class DoubleIntegrator(Plant):
    """x'' = u.

    | signal       | unit   | bounds   |
    | ------------ | ------ | -------- |
    | position     | m      | −1 … 1   |
    | velocity     | m/s    | −1 … 1   |
    | acceleration | m/s²   | −3 … 3   |

    RK4 is exact for this plant. Optimal control without active state bounds is a clipped linear feedback.
    """

    name = "double_integrator"
    short_name = "di"
    title = "double integrator, a mass pushed by a force"
    source = "textbook; bounds, grid and initial set as in the control benchmark of docs/systems"
    states = (Signal("position", "m", -1.0, 1.0), Signal("velocity", "m/s", -1.0, 1.0))
    controls = (Signal("acceleration", "m/s^2", -3.0, 3.0),)

    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """(velocity, acceleration)."""
        return x[1], u[0]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The one non-zero term of the second-order family."""
        return {"e": 1.0}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = u."""
        return ("x' = v", "v' = u")
