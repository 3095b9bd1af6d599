"""Batches of random plants with one number of states and controls, and the exact Jacobians of their RK4 step.

A plant is x' = A x + B u plus a sum of products of up to three factors; a factor is a state, its sine or cosine, a
control or one. Plants of a batch differ in their coefficients and in the factors of their products, so that thousands
of them are integrated and differentiated together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

FACTORS = 3
"""Factors of a product; unused ones are the constant one."""


@dataclass(frozen=True)
class Product:
    """One nonlinear term of a plant: `coefficient` times its factors, in the equation of state `row`.

    A factor is a kind (`x`, `sin`, `cos` or `u`) with the index of its state or control.
    """

    row: int
    coefficient: float
    factors: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Dynamics:
    """A batch of B plants.

    Attributes:
        a: (B, n_x, n_x).
        b: (B, n_x, n_u).
        row, coefficient: state and coefficient of each product, (B, T); unused products have coefficient zero.
        factors: positions of the factors of each product in the pool of factors, (B, T, 3).
        dt_s: grid interval of each plant, (B,).
    """

    a: Float[np.ndarray, "B n_x n_x"]
    b: Float[np.ndarray, "B n_x n_u"]
    row: Int[np.ndarray, "B T"]
    coefficient: Float[np.ndarray, "B T"]
    factors: Int[np.ndarray, "B T 3"]
    dt_s: Float[np.ndarray, " B"]

    @classmethod
    def of(
        cls,
        a: Sequence[np.ndarray],
        b: Sequence[np.ndarray],
        products: Sequence[Sequence[Product]],
        dt_s: Sequence[float],
    ) -> "Dynamics":
        """Stack plants of equal size."""
        count, n_x = len(a), len(a[0])
        width = max(map(len, products))
        row = np.zeros((count, width), dtype=np.int64)
        coefficient = np.zeros((count, width))
        factors = np.zeros((count, width, FACTORS), dtype=np.int64)
        start = {"x": 1, "sin": 1 + n_x, "cos": 1 + 2 * n_x, "u": 1 + 3 * n_x}
        for plant, own in enumerate(products):
            for place, product in enumerate(own):
                row[plant, place], coefficient[plant, place] = product.row, product.coefficient
                for number, (kind, index) in enumerate(product.factors):
                    factors[plant, place, number] = start[kind] + index
        return cls(np.stack(a), np.stack(b), row, coefficient, factors, np.array(dt_s))

    def take(self, plants: Int[np.ndarray, " R"]) -> "Dynamics":
        """Return the batch of these plants, which may repeat."""
        return Dynamics(*(getattr(self, name)[plants] for name in self.__dataclass_fields__))

    @property
    def linear(self) -> bool:
        """Whether no plant has a product."""
        return not self.coefficient.any()

    def derivative(
        self, x: Float[np.ndarray, "B S n_x"], u: Float[np.ndarray, "B S n_u"]
    ) -> Float[np.ndarray, "B S n_x"]:
        """Return x' of every plant at each of its S points."""
        slope = x @ self.a.transpose(0, 2, 1) + u @ self.b.transpose(0, 2, 1)
        if self.linear:
            return slope
        value, _, _ = _pool(x, u)
        one, two, three = (self._factor(value, number) for number in range(FACTORS))
        products = one * two * three * self.coefficient[:, None]
        plants = np.arange(len(x))
        for term in range(products.shape[-1]):
            slope[plants, :, self.row[:, term]] += products[:, :, term]
        return slope

    def jacobian(
        self, x: Float[np.ndarray, "B S n_x"], u: Float[np.ndarray, "B S n_u"]
    ) -> Float[np.ndarray, "B S n_x n_z"]:
        """Return the derivatives of x' for the n_z = n_x + n_u states and controls."""
        linear = np.concatenate([self.a, self.b], axis=2)[:, None]
        found = np.repeat(linear, x.shape[1], axis=1)
        if self.linear:
            return found
        value, slope, variable = _pool(x, u)
        parts = [self._factor(value, number) for number in range(FACTORS)]
        slopes = [self._factor(slope, number) for number in range(FACTORS)]
        plants = np.arange(len(x))
        for number in range(FACTORS):
            others = [parts[other] for other in range(FACTORS) if other != number]
            change = slopes[number] * others[0] * others[1] * self.coefficient[:, None]
            for term in range(change.shape[-1]):
                by = variable[self.factors[:, term, number]]
                found[plants, :, self.row[:, term], by] += change[:, :, term]
        return found

    def step(self, x: Float[np.ndarray, "B S n_x"], u: Float[np.ndarray, "B S n_u"]) -> Float[np.ndarray, "B S n_x"]:
        """Return the states one grid interval later (RK4, control held)."""
        h = self.dt_s[:, None, None]
        k1 = self.derivative(x, u)
        k2 = self.derivative(x + h / 2 * k1, u)
        k3 = self.derivative(x + h / 2 * k2, u)
        k4 = self.derivative(x + h * k3, u)
        return np.asarray(x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4))

    def linearised_step(
        self, x: Float[np.ndarray, "B S n_x"], u: Float[np.ndarray, "B S n_u"]
    ) -> tuple[Float[np.ndarray, "B S n_x"], Float[np.ndarray, "B S n_x n_z"]]:
        """Return `step` and its derivatives for states and controls."""
        n_x = x.shape[-1]
        h, unit = self.dt_s[:, None, None], np.eye(n_x, n_x + u.shape[-1])
        stages, changes, at, reached = [], [], x, np.broadcast_to(unit, (*x.shape, unit.shape[1]))
        for share in (0.5, 0.5, 1.0, 0.0):
            inner = self.jacobian(at, u)
            change = inner[..., :n_x] @ reached
            change[..., n_x:] += inner[..., n_x:]
            slope = self.derivative(at, u)
            stages.append(slope)
            changes.append(change)
            at, reached = x + share * h * slope, unit + share * h[..., None] * change
        weights = (1, 2, 2, 1)
        following = x + h / 6 * sum(w * stage for w, stage in zip(weights, stages, strict=True))
        derivatives = unit + h[..., None] / 6 * sum(w * change for w, change in zip(weights, changes, strict=True))
        return following, derivatives

    def simulate(
        self, x0: Float[np.ndarray, "B n_x"], controls: Float[np.ndarray, "B N n_u"]
    ) -> Float[np.ndarray, "B N1 n_x"]:
        """Return the N + 1 states from `x0`; diverging components end at ±1e6."""
        states = [x0]
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(controls.shape[1]):
                reached = self.step(states[-1][:, None], controls[:, k : k + 1])[:, 0]
                states.append(np.clip(np.nan_to_num(reached, nan=1e6), -1e6, 1e6))
        return np.stack(states, axis=1)

    def _factor(self, pool: np.ndarray, number: int) -> np.ndarray:
        return np.take_along_axis(pool, self.factors[:, None, :, number], axis=2)


def _pool(x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values and slopes of all possible factors, (B, S, P), and the variable that each depends on, (P,)."""
    one, sine, cosine = np.ones((*x.shape[:2], 1)), np.sin(x), np.cos(x)
    value = np.concatenate([one, x, sine, cosine, u], axis=2)
    slope = np.concatenate([0 * one, np.ones_like(x), cosine, -sine, np.ones_like(u)], axis=2)
    states = np.arange(x.shape[-1])
    variable = np.concatenate([[0], states, states, states, x.shape[-1] + np.arange(u.shape[-1])])
    return value, slope, variable
