"""What a controller is. An LLM, a feedback law and the optimum share this one interface, and so one table."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from setpoint.trajectory import Termination


@dataclass(frozen=True)
class Plan:
    """Controls for a batch of B states.

    Attributes:
        controls: commanded controls on the plant's grid, (B, S, n_u) with S at least the steps asked for;
            zero where the answer could not be read.
        outcomes: B values; `COMPLETED` where the controls are the controller's own.
        tokens: generated tokens per state, (B,); zeros for controllers that are not language models.
    """

    controls: Float[np.ndarray, "B S n_u"]
    outcomes: tuple[Termination, ...]
    tokens: Int[np.ndarray, " B"]

    @classmethod
    def of(cls, controls: Float[np.ndarray, "B S n_u"]) -> "Plan":
        """The plan of a controller that always answers."""
        count = len(controls)
        return cls(controls, (Termination.COMPLETED,) * count, np.zeros(count, dtype=np.int64))


class Controller(Protocol):
    """Maps a time and a batch of states to a batch of control plans."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> Plan:
        """Controls from time `t` (s) and states `x` for at least the next `steps` grid intervals."""
