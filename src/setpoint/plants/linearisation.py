"""Exact Jacobians of a plant's step, by the complex step (Squire & Trapp, SIAM Review 40, 1998)."""

import numpy as np
from jaxtyping import Float

from setpoint.plants.plant import Plant

# The complex step subtracts nothing, so there is no cancellation and the step can be this small.
_STEP = 1e-30


def linearise(
    plant: Plant, x: Float[np.ndarray, " n_x"], u: Float[np.ndarray, " n_u"]
) -> tuple[Float[np.ndarray, "n_x n_x"], Float[np.ndarray, "n_x n_u"]]:
    """Compute A and B of x_{k+1} ≈ A x_k + B u_k around (`x`, `u`), to machine precision.

    The dynamics must be analytic in the components, which rules out abs, sign and clipping in `derivative`.
    """
    n_x, n_u = plant.n_x, plant.n_u
    # Row i perturbs component i, so that one batched step gives all columns: df/dz_i = Im f(z + ih e_i) / h + O(h²).
    probes = np.concatenate([x, u]).astype(complex) + 1j * _STEP * np.eye(n_x + n_u)
    jacobian = plant.step(0.0, probes[:, :n_x], probes[:, n_x:]).imag.T / _STEP
    return jacobian[:, :n_x], jacobian[:, n_x:]
