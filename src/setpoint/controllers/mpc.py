"""Model predictive control over the problem's own horizon: the strongest baseline, and the slowest."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.shooting import Optimum
from setpoint.problems import Problem


class ModelPredictive(OptimalController):
    """Solves the full-horizon problem from every measured state.

    If a state has no certified optimum (from a disturbed one, no control may satisfy the bounds), the plan falls back
    to the clipped LQR and is counted.

    Attributes:
        solved: number of plans that are certified optima.
        unsolved: number of plans of the clipped LQR.
    """

    name = "mpc"

    def __init__(self, problem: Problem) -> None:
        """Build the nonlinear program."""
        super().__init__(problem)

    def find(self, x: Float[np.ndarray, " n_x"]) -> Optimum | None:
        """Return the certified optimum from `x`, without a cache: measured states do not recur."""
        return self._optimizer.solve(x)
