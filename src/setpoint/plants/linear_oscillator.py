"""A lightly damped mass on a spring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class LinearOscillator(Plant):
    """x'' = −omega² x − 2 zeta omega x' + u.

    | signal   | unit | bounds      |
    | -------- | ---- | ----------- |
    | position | 1    | −1.2 … 1.2  |
    | velocity | 1/s  | −1.8 … 1.8  |
    | force    | 1/s² | −1 … 1      |

    The force limit is below the spring force, so the optimum is saturated most of the time and removes energy slowly.
    """

    name = "linear_oscillator"
    short_name = "osc"
    title = "linear oscillator with a weak force"
    source = "textbook"
    states = (Signal("position", "1", -1.2, 1.2), Signal("velocity", "1/s", -1.8, 1.8))
    controls = (Signal("force", "1/s^2", -1.0, 1.0),)
    linear = True
    family: ClassVar[Mapping[str, Interval]] = {
        "omega": Interval(1.0, 3.0, 2.3, 2.6),
        "zeta": Interval(0.0, 0.1, 0.07, 0.09),
    }

    omega: float = 2.0
    zeta: float = 0.05
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, −omega² x − 2 zeta omega v + u)."""
        position, velocity = x
        return velocity, -(self.omega**2) * position - 2 * self.zeta * self.omega * velocity + u[0]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """x'' = −omega² x − 2 zeta omega x' + u."""
        return {"a": -(self.omega**2), "b": -2 * self.zeta * self.omega, "e": 1.0}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = −omega² x − 2 zeta omega v + u."""
        return ("x' = v", f"v' = -{self.omega**2:g}*x - {2 * self.zeta * self.omega:g}*v + u")
