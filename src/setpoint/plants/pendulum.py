"""A damped pendulum held near its upright position by a torque."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class Pendulum(Plant):
    """theta'' = (g/l) sin(theta) − damping theta' + u, with theta = 0 upright.

    | signal           | unit    | bounds      |
    | ---------------- | ------- | ----------- |
    | angle            | rad     | −0.7 … 0.7  |
    | angular velocity | rad/s   | −2 … 2      |
    | torque           | rad/s²  | −6 … 6      |

    Unstable in open loop (errors grow by a factor of 2,000 over the horizon), so it is evaluated in closed loop only.
    """

    name = "pendulum"
    short_name = "pend"
    title = "pendulum, stabilised upright"
    source = "textbook; torque divided by m l^2"
    states = (Signal("angle", "rad", -0.7, 0.7), Signal("angular_velocity", "rad/s", -2.0, 2.0))
    controls = (Signal("torque", "rad/s^2", -6.0, 6.0),)

    family: ClassVar[Mapping[str, Interval]] = {
        "gravity_per_length": Interval(7.0, 11.0, 8.0, 9.0),
        "damping": Interval(0.0, 0.3, 0.18, 0.24),
    }

    gravity_per_length: float = 9.81
    damping: float = 0.1
    dt_s: float = 0.05

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (angular velocity, angular acceleration)."""
        angle, rate = x
        return rate, self.gravity_per_length * xp.sin(angle) - self.damping * rate + u[0]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """theta'' = −damping theta' + (g/l) sin(theta) + u."""
        return {"b": -self.damping, "g": self.gravity_per_length, "e": 1.0}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = (g/l) sin(x) − damping v + u."""
        return ("x' = v", f"v' = {self.gravity_per_length:g}*sin(x) - {self.damping:g}*v + u")


@dataclass(frozen=True)
class PendulumSwingup(Pendulum):
    """The same pendulum started at any angle, with a torque too weak to lift it in one swing.

    | signal           | unit    | bounds      |
    | ---------------- | ------- | ----------- |
    | angle            | rad     | −2π … 2π    |
    | angular velocity | rad/s   | −8 … 8      |
    | torque           | rad/s²  | −6 … 6      |

    Extra swings and swings in the other direction are local optima, so the solution is the best of several starts.
    """

    name = "pendulum_swingup"
    short_name = "swingup"
    title = "pendulum, swung up with a weak torque"
    states = (Signal("angle", "rad", -2 * math.pi, 2 * math.pi), Signal("angular_velocity", "rad/s", -8.0, 8.0))
    substeps = 2
    family: ClassVar[Mapping[str, Interval]] = {}

    dt_s: float = 0.1
