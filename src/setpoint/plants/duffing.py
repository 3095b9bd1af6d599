"""A mass in a double-well potential, held on the ridge between the wells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class Duffing(Plant):
    """x'' = stiffness x − cubic x³ − damping x' + u.

    | signal   | unit | bounds      |
    | -------- | ---- | ----------- |
    | position | 1    | −1.8 … 1.8  |
    | velocity | 1/s  | −1.2 … 1.2  |
    | force    | 1/s² | −0.4 … 0.4  |

    The origin is a saddle. The force limit barely exceeds the steepest slope of a well, 2/(3√3) ≈ 0.385.
    """

    name = "duffing"
    short_name = "duf"
    title = "Duffing oscillator, held on the saddle between its two wells"
    source = "G. Duffing, Erzwungene Schwingungen, Vieweg 1918"
    states = (Signal("position", "1", -1.8, 1.8), Signal("velocity", "1/s", -1.2, 1.2))
    controls = (Signal("force", "1/s^2", -0.4, 0.4),)
    substeps = 2

    stiffness: float = 1.0
    cubic: float = 1.0
    damping: float = 0.2
    dt_s: float = 0.15

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, acceleration)."""
        position, velocity = x
        spring = self.stiffness * position - self.cubic * position * position * position
        return velocity, spring - self.damping * velocity + u[0]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """x'' = stiffness x − damping x' − cubic x³ + u."""
        return {"a": self.stiffness, "b": -self.damping, "c": -self.cubic, "e": 1.0}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = stiffness x − cubic x³ − damping v + u."""
        return ("x' = v", f"v' = {self.stiffness:g}*x - {self.cubic:g}*x^3 - {self.damping:g}*v + u")
