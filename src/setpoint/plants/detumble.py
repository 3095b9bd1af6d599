"""A tumbling rigid body, brought to rest by three torques."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal


def euler_equations(inertia: Sequence[Any], rates: Sequence[Any], torques: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Solve J w' = −w × J w + u for w', with the principal moments `inertia`."""
    (j1, j2, j3), (w1, w2, w3) = inertia, rates
    return (
        ((j2 - j3) * w2 * w3 + torques[0]) / j1,
        ((j3 - j1) * w3 * w1 + torques[1]) / j2,
        ((j1 - j2) * w1 * w2 + torques[2]) / j3,
    )


def euler_texts(inertia: Sequence[float]) -> tuple[str, str, str]:
    """Return the same equations as text, in the rates w1, w2, w3."""
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

    At full torque, removing the largest rates takes about half the horizon.
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
        """Return the angular accelerations."""
        return euler_equations((self.j1, self.j2, self.j3), x, u)

    @property
    def equations(self) -> tuple[str, ...]:
        """Euler's equation of each axis."""
        return euler_texts((self.j1, self.j2, self.j3))
