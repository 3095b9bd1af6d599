"""A plant as a notebook defines it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import setpoint as sp


@dataclass(frozen=True)
class Cart(sp.Plant):
    """x' = v, v' = u − drag v."""

    name = "notebook_cart"
    short_name = "nbcart"
    title = "a cart with drag"
    source = "textbook"
    states = (sp.Signal("position", "m", -2.0, 2.0), sp.Signal("velocity", "m/s", -2.0, 2.0))
    controls = (sp.Signal("force", "N", -1.0, 1.0),)
    drag: float = 0.1
    dt_s: float = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """(velocity, acceleration)."""
        return x[1], u[0] - self.drag * x[1]

    @property
    def equations(self) -> tuple[str, ...]:
        """One per state."""
        return ("x' = v", f"v' = u - {self.drag:g}*v")


def cart(drag: float = 0.1) -> sp.Problem:
    return sp.Problem(
        plant=Cart(drag), steps=50, q=(10.0, 1.0), r=(0.1,), terminal_weight=10.0, target=(0.0, 0.0),
        half_width=(0.5, 0.5),
    )  # fmt: skip
