"""Prompt and answer format of a base model. It belongs to the base-model preset and is recorded with every adapter."""

from dataclasses import dataclass
from typing import Literal

from setpoint.problems import COARSE_TO_FINE, MoveBlocking

Template = Literal["short", "english"]
TEMPLATES: tuple[Template, ...] = ("short", "english")


@dataclass(frozen=True)
class PromptFormat:
    """Template, move blocking and decimals.

    Attributes:
        template: `short` (key=value, for models with a small custom vocabulary) or `english`.
        blocking: number of moves in an answer and how long each is held.
        control_decimals: decimals of a control in an answer.
        state_decimals: decimals of a state in a prompt; open-loop unstable plants need 4.
    """

    template: Template = "short"
    blocking: MoveBlocking = COARSE_TO_FINE
    control_decimals: int = 2
    state_decimals: int = 4

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
