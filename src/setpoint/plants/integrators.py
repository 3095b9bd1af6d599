"""The fixed-step integrator that simulator and optimal control share."""

from collections.abc import Callable, Sequence
from typing import Any

Derivative = Callable[[Any, Sequence[Any], Sequence[Any], Any], tuple[Any, ...]]


def rk4_step(
    derivative: Derivative,
    t: Any,
    x: tuple[Any, ...],
    u: tuple[Any, ...],
    dt_s: Any,
    xp: Any,
    substeps: int = 1,
) -> tuple[Any, ...]:
    """The state components after `dt_s` seconds: `substeps` steps of the classical fourth-order Runge–Kutta method.

    Works on whatever the components are (floats, NumPy batches, CasADi symbols). Local error O(h^5).
    """
    h = dt_s / substeps
    for index in range(substeps):
        start = t + index * h
        k1 = derivative(start, x, u, xp)
        k2 = derivative(start + h / 2, _advance(x, k1, h / 2), u, xp)
        k3 = derivative(start + h / 2, _advance(x, k2, h / 2), u, xp)
        k4 = derivative(start + h, _advance(x, k3, h), u, xp)
        x = tuple(xi + h / 6 * (a + 2 * b + 2 * c + d) for xi, a, b, c, d in zip(x, k1, k2, k3, k4, strict=True))
    return x


def _advance(x: tuple[Any, ...], slope: tuple[Any, ...], h: Any) -> tuple[Any, ...]:
    return tuple(xi + h * si for xi, si in zip(x, slope, strict=True))
