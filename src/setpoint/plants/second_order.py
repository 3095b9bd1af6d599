"""The family of second-order plants given by coefficients, on which the built-in base model was pretrained.

The class is not registered. It makes plants without a name, and named plants use its coefficients in short prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.plants.plant import Plant, Signal

TERMS = ("a", "b", "c", "d", "g", "e")
"""Coefficients in the order of the equation a x + b x' + c x³ + d x² x' + g sin(x) + e u."""


@dataclass(frozen=True)
class SecondOrder(Plant):
    """x'' = a x + b x' + c x³ + d x² x' + g sin(x) + e u.

    The coefficients and `dt_s` may be floats, NumPy arrays that broadcast with the batch, or CasADi symbols.
    The bounds here are placeholders; the problem that uses the plant sets its own.
    """

    name = "second_order"
    short_name = "second_order"
    title = "second-order plant given by coefficients"
    source = "x'' = a x + b x' + c x^3 + d x^2 x' + g sin(x) + e u"
    states = (Signal("position", "1", -1.0, 1.0), Signal("velocity", "1/s", -1.0, 1.0))
    controls = (Signal("input", "1", -1.0, 1.0),)

    a: Any = 0.0
    b: Any = 0.0
    c: Any = 0.0
    d: Any = 0.0
    g: Any = 0.0
    e: Any = 1.0
    dt_s: Any = 0.1

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, acceleration)."""
        p, v = x
        acceleration = (
            self.a * p + self.b * v + self.c * p * p * p + self.d * p * p * v + self.g * xp.sin(p) + self.e * u[0]
        )
        return v, acceleration

    @property
    def coefficients(self) -> Mapping[str, float]:
        """All coefficients, including zeros."""
        return {term: getattr(self, term) for term in TERMS}

    @property
    def equations(self) -> tuple[str, ...]:
        """x' = v, v' = the sum of the terms."""
        return (
            "x' = v",
            f"v' = {self.a:g}*x + {self.b:g}*v + {self.c:g}*x^3 + {self.d:g}*x^2*v + {self.g:g}*sin(x) + {self.e:g}*u",
        )
