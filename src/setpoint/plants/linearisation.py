"""Exact Jacobians of a plant's step, by the complex step (Squire & Trapp, SIAM Review 40, 1998)."""

import numpy as np
from jaxtyping import Float

from setpoint.plants.plant import Plant

_STEP = 1e-30


def linearise(
    plant: Plant, x: Float[np.ndarray, " n_x"], u: Float[np.ndarray, " n_u"]
) -> tuple[Float[np.ndarray, "n_x n_x"], Float[np.ndarray, "n_x n_u"]]:
    """A and B of x_{k+1} ≈ A x_k + B u_k around (`x`, `u`), to machine precision.

    The dynamics must be analytic in the components, which rules out abs, sign and clipping inside `derivative`.
    """
    n_x, n_u = plant.n_x, plant.n_u
    probes = np.concatenate([x, u]).astype(complex) + 1j * _STEP * np.eye(n_x + n_u)
    jacobian = plant.step(0.0, probes[:, :n_x], probes[:, n_x:]).imag.T / _STEP
    return jacobian[:, :n_x], jacobian[:, n_x:]
