"""What a simulation yields, and how an episode can end."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float


class Termination(StrEnum):
    """How an episode ended. Members are listed by precedence: the first that applies is recorded."""

    TOKEN_LIMIT = "token_limit"
    """The answer was cut off before it was complete."""
    PARSE_FAILURE = "parse_failure"
    """The answer is not text of the required form."""
    WRONG_LENGTH = "wrong_length"
    """The answer parses but has too few or too many controls."""
    DIVERGED = "diverged"
    """The state left the range of finite numbers."""
    COMPLETED = "completed"
    """The horizon was reached; constraints may still have been violated, which is a column of its own."""

    @property
    def parsed(self) -> bool:
        """Whether an answer that ended so could be read."""
        return self in {Termination.DIVERGED, Termination.COMPLETED}


@dataclass(frozen=True)
class Trajectory:
    """A batch of roll-outs of one plant on its own grid. Leading axes are batch axes.

    Attributes:
        times: seconds, (N+1,).
        states: SI units, (..., N+1, n_x); never clamped.
        controls: what the plant applied, saturated to its bounds, (..., N, n_u).
        commanded: what was asked for, (..., N, n_u).
        diverged: whether a state left the range of the simulator, after which it stands still, (...).
    """

    times: Float[np.ndarray, "nodes"]
    states: Float[np.ndarray, "*batch nodes n_x"]
    controls: Float[np.ndarray, "*batch steps n_u"]
    commanded: Float[np.ndarray, "*batch steps n_u"]
    diverged: Bool[np.ndarray, "*batch"]
