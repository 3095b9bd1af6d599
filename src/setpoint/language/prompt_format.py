"""Prompt and answer format of a base model. It belongs to the base-model preset and is recorded with every adapter."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from setpoint.plants import Plant
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem

Template = Literal["short", "english"]
_COARSEST = 0.05
"""Largest unit of the last decimal, as a share of a control bound; coarser ones cost more than 0.1 % of regret."""
_MOST_MORE = 4
TEMPLATES: tuple[Template, ...] = ("short", "english")


def sufficient_decimals(plant: Plant, least: int) -> int:
    """Return the decimals of the controls of `plant`: `least`, or more where they would be coarse."""
    smallest = float(np.maximum(-plant.control_lower, plant.control_upper).min())
    decimals = least
    while 10.0**-decimals > _COARSEST * smallest and decimals < least + _MOST_MORE:
        decimals += 2
    return decimals


@dataclass(frozen=True)
class PromptFormat:
    """Template, move blocking and decimals.

    Attributes:
        template: `short` (key=value, for models with a small custom vocabulary) or `english`.
        blocking: number of moves in an answer and how long each is held.
        control_decimals: decimals of a control in an answer; more for plants with small controls, see `decimals_of`.
        state_decimals: decimals of a state in a prompt; open-loop unstable plants need 4.
    """

    template: Template = "short"
    blocking: MoveBlocking = COARSE_TO_FINE
    control_decimals: int = 2
    state_decimals: int = 4

    def decimals_of(self, problem: Problem) -> int:
        """Return the decimals of a control of `problem`."""
        return sufficient_decimals(problem.plant, self.control_decimals)

    def definition(self) -> dict[str, object]:
        """Return the fields that define the prompt format, for identities and manifests."""
        return {
            "template": self.template,
            "blocks": list(self.blocking.lengths),
            "control_decimals": self.control_decimals,
            "state_decimals": self.state_decimals,
        }

    @classmethod
    def from_definition(cls, definition: dict[str, object]) -> "PromptFormat":
        """Invert `definition`."""
        fields = dict(definition)
        return cls(blocking=MoveBlocking(tuple(fields.pop("blocks"))), **fields)  # type: ignore[arg-type]
