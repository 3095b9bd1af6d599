"""The fixed-step integrator shared by the simulator and the optimal-control solver."""

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
    """Advance the state components by `dt_s` seconds with `substeps` steps of the classical Runge–Kutta method (RK4).

    Components may be floats, NumPy batches or CasADi symbols. The local error is O(h^5).
    Source: Hairer, Nørsett, Wanner, Solving Ordinary Differential Equations I, §II.1.
    """
    h = dt_s / substeps
    for index in range(substeps):
        start = t + index * h  # a product, not a running sum, so that rounding does not accumulate
        # The control is held constant over the interval (zero-order hold), so all four stages use the same u.
        k1 = derivative(start, x, u, xp)
        k2 = derivative(start + h / 2, _advance(x, k1, h / 2), u, xp)
        k3 = derivative(start + h / 2, _advance(x, k2, h / 2), u, xp)
        k4 = derivative(start + h, _advance(x, k3, h), u, xp)
        x = tuple(xi + h / 6 * (a + 2 * b + 2 * c + d) for xi, a, b, c, d in zip(x, k1, k2, k3, k4, strict=True))
    return x


def _advance(x: tuple[Any, ...], slope: tuple[Any, ...], h: Any) -> tuple[Any, ...]:
    return tuple(xi + h * si for xi, si in zip(x, slope, strict=True))
