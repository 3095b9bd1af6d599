"""A low-thrust spacecraft climbing from one circular orbit to a higher one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class OrbitRaising(Plant):
    """r' = v, v' = w²/r − mu/r² + u1, w' = −v w/r + u2, in polar coordinates without the angle.

    In units where the initial orbit has radius 1 and period 2π.

    | signal              | unit | bounds      |
    | ------------------- | ---- | ----------- |
    | radius              | 1    | 0.5 … 1.5   |
    | radial velocity     | 1/s  | −0.5 … 0.5  |
    | tangential velocity | 1/s  | 0.5 … 1.5   |
    | radial thrust       | 1/s² | −0.08 … 0.08 |
    | tangential thrust   | 1/s² | −0.08 … 0.08 |

    The state bounds exclude the singularity at the centre and are never active on an optimal trajectory. The initial
    set is centred on the lower orbit, not on the target.
    """

    name = "orbit_raising"
    short_name = "orbit"
    title = "orbit raising with low thrust"
    source = "A. E. Bryson, Y.-C. Ho, Applied Optimal Control, 1975, §2.5, with a bound on each component of the thrust"
    states = (
        Signal("radius", "1", 0.5, 1.5),
        Signal("radial_velocity", "1/s", -0.5, 0.5),
        Signal("tangential_velocity", "1/s", 0.5, 1.5),
    )
    controls = (Signal("radial_thrust", "1/s^2", -0.08, 0.08), Signal("tangential_thrust", "1/s^2", -0.08, 0.08))

    mu: float = 1.0
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (radial velocity, radial acceleration, tangential acceleration)."""
        radius, radial, tangential = x
        return (
            radial,
            tangential * tangential / radius - self.mu / (radius * radius) + u[0],
            -radial * tangential / radius + u[1],
        )

    @property
    def equations(self) -> tuple[str, ...]:
        """The equations in radius r, radial velocity v and tangential velocity w."""
        return ("r' = v", f"v' = w^2/r - {self.mu:g}/r^2 + u1", "w' = -v*w/r + u2")
