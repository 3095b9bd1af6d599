"""A spacecraft approaching another one on a circular orbit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class CwRendezvous(Plant):
    """Clohessy–Wiltshire equations in the orbital plane: x'' = 3 n² x + 2 n y' + u1, y'' = −2 n x' + u2.

    With n = 1, time is measured in radians of the orbit; lengths are in an arbitrary unit.

    | signal               | unit | bounds      |
    | -------------------- | ---- | ----------- |
    | radial               | 1    | −1.2 … 1.2  |
    | along track          | 1    | −1.2 … 1.2  |
    | radial velocity      | 1/s  | −0.5 … 0.5  |
    | along-track velocity | 1/s  | −0.5 … 0.5  |
    | radial thrust        | 1/s² | −1.2 … 1.2  |
    | along-track thrust   | 1/s² | −1.2 … 1.2  |

    The speed limit is active on most optimal trajectories. Clipped feedback ignores it and violates it.
    """

    name = "cw_rendezvous"
    short_name = "cw"
    title = "rendezvous on a circular orbit, in the orbital plane"
    source = "W. H. Clohessy, R. S. Wiltshire, J. Aerospace Sciences 27, 1960"
    states = (
        Signal("radial", "1", -1.2, 1.2),
        Signal("along_track", "1", -1.2, 1.2),
        Signal("radial_velocity", "1/s", -0.5, 0.5),
        Signal("along_track_velocity", "1/s", -0.5, 0.5),
    )
    controls = (Signal("radial_thrust", "1/s^2", -1.2, 1.2), Signal("along_track_thrust", "1/s^2", -1.2, 1.2))
    linear = True

    mean_motion: float = 1.0
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocities, accelerations)."""
        radial, _, radial_rate, along_rate = x
        n = self.mean_motion
        return (
            radial_rate,
            along_rate,
            3.0 * n**2 * radial + 2.0 * n * along_rate + u[0],
            -2.0 * n * radial_rate + u[1],
        )

    @property
    def equations(self) -> tuple[str, ...]:
        """The equations in radial x, along-track y and their rates v and w."""
        n = self.mean_motion
        return ("x' = v", "y' = w", f"v' = {3 * n**2:g}*x + {2 * n:g}*w + u1", f"w' = -{2 * n:g}*v + u2")
