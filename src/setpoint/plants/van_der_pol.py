"""The van der Pol oscillator with a forcing input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class VanDerPol(Plant):
    """x'' − mu (1 − x²) x' + x = u.

    | signal   | unit | bounds  |
    | -------- | ---- | ------- |
    | position | 1    | −2 … 2  |
    | velocity | 1/s  | −2 … 2  |
    | force    | 1/s² | −5 … 5  |

    The origin is an unstable focus for 0 < mu < 2; open-loop errors grow by a factor of about 12 over five seconds.
    """

    name = "van_der_pol"
    short_name = "vdp"
    title = "van der Pol oscillator with forcing"
    source = "B. van der Pol, Phil. Mag. 2, 1926"
    states = (Signal("position", "1", -2.0, 2.0), Signal("velocity", "1/s", -2.0, 2.0))
    controls = (Signal("force", "1/s^2", -5.0, 5.0),)

    family: ClassVar[Mapping[str, Interval]] = {"mu": Interval(0.5, 2.0, 1.3, 1.6)}

    mu: float = 1.0
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, mu (1 − x²) v − x + u)."""
        position, velocity = x
        return velocity, self.mu * (1.0 - position * position) * velocity - position + u[0]

    @property
    def coefficients(self) -> Mapping[str, float]:
        """x'' = −x + mu x' − mu x² x' + u."""
        return {"a": -1.0, "b": self.mu, "d": -self.mu, "e": 1.0}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = mu (1 − x²) v − x + u."""
        return ("x' = v", f"v' = {self.mu:g}*(1 - x^2)*v - x + u")


@dataclass(frozen=True)
class VanDerPolTight(VanDerPol):
    """The same oscillator with a weak actuator, which the optimum saturates most of the time.

    | signal   | unit | bounds      |
    | -------- | ---- | ----------- |
    | position | 1    | −2.2 … 2.2  |
    | velocity | 1/s  | −2.2 … 2.2  |
    | force    | 1/s² | −1 … 1      |

    Its parameter is fixed: with a larger mu the weak actuator can no longer control every initial state.
    """

    name = "van_der_pol_tight"
    short_name = "vdp_tight"
    title = "van der Pol oscillator with a weak actuator"
    states = (Signal("position", "1", -2.2, 2.2), Signal("velocity", "1/s", -2.2, 2.2))
    controls = (Signal("force", "1/s^2", -1.0, 1.0),)
    family: ClassVar[Mapping[str, Interval]] = {}
