"""Result of a simulation, and the ways in which an episode can end."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float


class Termination(StrEnum):
    """How an episode ended, in order of precedence: the first member that applies is recorded."""

    TOKEN_LIMIT = "token_limit"
    """The answer reached the token limit before it was complete."""
    PARSE_FAILURE = "parse_failure"
    """The answer does not have the required format."""
    WRONG_LENGTH = "wrong_length"
    """The answer has the required format, but too few or too many moves."""
    DIVERGED = "diverged"
    """A state component exceeded the divergence limit of the simulator or became NaN."""
    COMPLETED = "completed"
    """The episode reached the end of the horizon. Constraint violations are recorded separately."""

    @property
    def parsed(self) -> bool:
        """Whether the answer could be parsed."""
        return self in {Termination.DIVERGED, Termination.COMPLETED}


@dataclass(frozen=True)
class Trajectory:
    """A batch of roll-outs of one plant on its grid. Leading axes are batch axes.

    Attributes:
        times: seconds, (N+1,).
        states: SI units, (..., N+1, n_x); never clamped.
        controls: applied controls, saturated to the bounds, (..., N, n_u).
        commanded: commanded controls, (..., N, n_u).
        diverged: whether a state exceeded the divergence limit, after which it is frozen, (...).
    """

    times: Float[np.ndarray, "nodes"]
    states: Float[np.ndarray, "*batch nodes n_x"]
    controls: Float[np.ndarray, "*batch steps n_u"]
    commanded: Float[np.ndarray, "*batch steps n_u"]
    diverged: Bool[np.ndarray, "*batch"]
