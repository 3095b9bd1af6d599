"""A mass on a frictionless rail, pushed by a force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class DoubleIntegrator(Plant):
    """x'' = u / mass.

    | signal       | unit   | bounds   |
    | ------------ | ------ | -------- |
    | position     | m      | −1 … 1   |
    | velocity     | m/s    | −1 … 1   |
    | acceleration | m/s²   | −3 … 3   |

    RK4 is exact for this plant. While no state bound is active, optimal control is a clipped linear feedback.
    """

    name = "double_integrator"
    short_name = "di"
    title = "double integrator, a mass pushed by a force"
    source = "textbook; bounds, grid and initial set chosen for this package"
    states = (Signal("position", "m", -1.0, 1.0), Signal("velocity", "m/s", -1.0, 1.0))
    controls = (Signal("acceleration", "m/s^2", -3.0, 3.0),)

    linear = True
    family: ClassVar[Mapping[str, Interval]] = {"mass": Interval(0.5, 2.0, 1.3, 1.6)}

    mass: float = 1.0
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, acceleration)."""
        return x[1], u[0] / self.mass

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The only non-zero term of the second-order family."""
        return {"e": 1.0 / self.mass}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = u / mass."""
        return ("x' = v", "v' = u" if self.mass == 1.0 else f"v' = u/{self.mass:g}")


@dataclass(frozen=True)
class DoubleIntegratorTight(DoubleIntegrator):
    """The same mass with a speed limit, which the optimum respects and a linear regulator does not.

    | signal       | unit   | bounds       |
    | ------------ | ------ | ------------ |
    | position     | m      | −1 … 1       |
    | velocity     | m/s    | −0.35 … 0.35 |
    | acceleration | m/s²   | −1 … 1       |
    """

    name = "double_integrator_tight"
    short_name = "di_tight"
    title = "double integrator with a speed limit"
    states = (Signal("position", "m", -1.0, 1.0), Signal("velocity", "m/s", -0.35, 0.35))
    controls = (Signal("acceleration", "m/s^2", -1.0, 1.0),)
