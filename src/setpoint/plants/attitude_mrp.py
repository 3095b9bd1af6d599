"""A rigid body that three torques turn to a target attitude and stop there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.detumble import euler_equations, euler_texts
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class AttitudeMrp(Plant):
    """Modified Rodrigues parameters s = tan(angle/4) axis with Euler's equations, J = diag(1, 1.5, 2) kg m².

    s' = ¼ ((1 − s·s) w + 2 s × w + 2 (s·w) s),  J w' = −w × J w + u.

    | signal         | unit  | bounds        |
    | -------------- | ----- | ------------- |
    | mrp 1, 2, 3    | 1     | −1 … 1        |
    | rate 1, 2, 3   | rad/s | −0.4 … 0.4    |
    | torque 1, 2, 3 | N m   | −0.25 … 0.25  |

    The rate limit is active on nine of ten optimal trajectories. The parameters are singular at a full turn, far
    outside the bounds, so no switch to the shadow set is needed.
    """

    name = "attitude_mrp"
    short_name = "mrp"
    title = "attitude of a rigid spacecraft, to the target attitude at rest"
    source = "H. Schaub, J. L. Junkins, Analytical Mechanics of Space Systems, 2003, §3.6"
    states = (
        *(Signal(f"mrp_{axis}", "1", -1.0, 1.0) for axis in (1, 2, 3)),
        *(Signal(f"rate_{axis}", "rad/s", -0.4, 0.4) for axis in (1, 2, 3)),
    )
    controls = tuple(Signal(f"torque_{axis}", "N m", -0.25, 0.25) for axis in (1, 2, 3))

    j1: float = 1.0
    j2: float = 1.5
    j3: float = 2.0
    dt_s: float = 0.2

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (MRP rates, angular accelerations)."""
        (s1, s2, s3), (w1, w2, w3) = x[:3], x[3:]
        squared, along = s1 * s1 + s2 * s2 + s3 * s3, s1 * w1 + s2 * w2 + s3 * w3
        cross = (s2 * w3 - s3 * w2, s3 * w1 - s1 * w3, s1 * w2 - s2 * w1)
        # Schaub & Junkins §3.6: no division, so zero rotation is not a special case.
        kinematics = tuple(
            ((1.0 - squared) * w + 2.0 * c + 2.0 * along * s) / 4.0
            for s, w, c in zip((s1, s2, s3), (w1, w2, w3), cross, strict=True)
        )
        return *kinematics, *euler_equations((self.j1, self.j2, self.j3), (w1, w2, w3), u)

    @property
    def equations(self) -> tuple[str, ...]:
        """The kinematics with k = 1 − s·s and d = s·w, then Euler's equation of each axis."""
        return (
            "s1' = (k*w1 + 2*(s2*w3 - s3*w2) + 2*d*s1)/4 with k = 1 - s1^2 - s2^2 - s3^2, d = s1*w1 + s2*w2 + s3*w3",
            "s2' = (k*w2 + 2*(s3*w1 - s1*w3) + 2*d*s2)/4",
            "s3' = (k*w3 + 2*(s1*w2 - s2*w1) + 2*d*s3)/4",
            *euler_texts((self.j1, self.j2, self.j3)),
        )
