"""A rigid body whose rotation three torques bring to rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal


def euler_equations(inertia: Sequence[Any], rates: Sequence[Any], torques: Sequence[Any]) -> tuple[Any, Any, Any]:
    """w' of J w' = −w × J w + u for the principal moments `inertia`."""
    (j1, j2, j3), (w1, w2, w3) = inertia, rates
    return (
        ((j2 - j3) * w2 * w3 + torques[0]) / j1,
        ((j3 - j1) * w3 * w1 + torques[1]) / j2,
        ((j1 - j2) * w1 * w2 + torques[2]) / j3,
    )


def euler_texts(inertia: Sequence[float]) -> tuple[str, str, str]:
    """The same in plain text, in rates w1, w2, w3."""
    j1, j2, j3 = inertia
    return (
        f"w1' = ({j2 - j3:g}*w2*w3 + u1)/{j1:g}",
        f"w2' = ({j3 - j1:g}*w3*w1 + u2)/{j2:g}",
        f"w3' = ({j1 - j2:g}*w1*w2 + u3)/{j3:g}",
    )


@dataclass(frozen=True)
class Detumble(Plant):
    """Euler's equations J w' = −w × J w + u about the principal axes, J = diag(1, 1.5, 2) kg m².

    | signal         | unit  | bounds      |
    | -------------- | ----- | ----------- |
    | rate 1, 2, 3   | rad/s | −2 … 2      |
    | torque 1, 2, 3 | N m   | −0.5 … 0.5  |

    The largest rates take about half of the horizon to remove at full torque.
    """

    name = "detumble"
    short_name = "det"
    title = "detumbling of a rigid spacecraft"
    source = "B. Wie, Space Vehicle Dynamics and Control, 2008, ch. 6"
    states = tuple(Signal(f"rate_{axis}", "rad/s", -2.0, 2.0) for axis in (1, 2, 3))
    controls = tuple(Signal(f"torque_{axis}", "N m", -0.5, 0.5) for axis in (1, 2, 3))

    j1: float = 1.0
    j2: float = 1.5
    j3: float = 2.0
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """The angular accelerations."""
        return euler_equations((self.j1, self.j2, self.j3), x, u)

    @property
    def equations(self) -> tuple[str, ...]:
        """One for every axis."""
        return euler_texts((self.j1, self.j2, self.j3))
