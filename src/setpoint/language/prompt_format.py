"""Prompt and answer format of a model. It is an experimental variable, and recorded with every adapter."""

from dataclasses import dataclass
from typing import Literal

from setpoint.errors import InputError
from setpoint.language.config import (
    AnswerParameters,
    PromptParameters,
    Reasoning,
    SystemRole,
    Template,
)
from setpoint.language.precision import sufficient_decimals
from setpoint.problems import COARSE_TO_FINE, MoveBlocking, Problem

HORIZON = COARSE_TO_FINE.steps
"""Steps that a complete answer covers."""


@dataclass(frozen=True)
class PromptFormat:
    """What a prompt says and what an answer contains.

    Attributes:
        template: see `setpoint.language.config.PromptParameters`.
        blocking: the moves of an answer, and how long each is held; they may cover the first steps only.
        control_decimals: decimals of a control in an answer, or `auto`: see `decimals_of`.
        state_decimals: decimals of a state in a prompt; open-loop unstable plants need 4.
        reasoning: what precedes the moves. Without reasoning, an answer has no tags.
        system_role: whether the task is a system message or part of the user's message.
    """

    template: Template = "short"
    blocking: MoveBlocking = COARSE_TO_FINE
    control_decimals: int | Literal["auto"] = 2
    state_decimals: int = 4
    reasoning: Reasoning = "feedback"
    system_role: SystemRole = "system"

    @property
    def tagged(self) -> bool:
        """Whether tags enclose reasoning and moves."""
        return self.reasoning != "none"

    def decimals_of(self, problem: Problem) -> int:
        """Return the decimals of a control of `problem`."""
        if isinstance(self.control_decimals, int):
            return self.control_decimals
        return sufficient_decimals(problem, self.blocking.lengths)

    def covers(self, steps: int) -> bool:
        """Whether an answer covers at least `steps` steps."""
        return self.blocking.steps >= steps

    def describe(self, problem: Problem) -> str:
        """Return the format in a few words."""
        moves = "every move" if self.covers(problem.steps) else f"{self.blocking.moves} moves"
        return f"{self.template} prompt, {self.reasoning} reasoning, {moves} with {self.decimals_of(problem)} decimals"

    def definition(self) -> dict[str, object]:
        """Return the fields that define the prompt format, for identities and manifests."""
        return {
            "template": self.template,
            "blocks": list(self.blocking.lengths),
            "control_decimals": self.control_decimals,
            "state_decimals": self.state_decimals,
            "reasoning": self.reasoning,
            "system_role": self.system_role,
        }

    @classmethod
    def from_definition(cls, definition: dict[str, object]) -> "PromptFormat":
        """Invert `definition`."""
        fields = dict(definition)
        return cls(blocking=MoveBlocking(tuple(fields.pop("blocks"))), **fields)  # type: ignore[arg-type]

    @classmethod
    def of(cls, prompt: PromptParameters, answer: AnswerParameters) -> "PromptFormat":
        """Return the format with these parameters.

        Raises:
            InputError: there are more moves than steps of the horizon.
        """
        whole = COARSE_TO_FINE if answer.blocking == "coarse_to_fine" else MoveBlocking.none(HORIZON)
        if answer.moves > whole.moves:
            raise InputError(
                f"answer.moves must be at most {whole.moves} with answer.blocking {answer.blocking}, got "
                f"{answer.moves}. Use 0 for all moves."
            )
        return cls(
            template=prompt.template,
            blocking=MoveBlocking(whole.lengths[: answer.moves or None]),
            control_decimals=answer.decimals,
            state_decimals=prompt.state_decimals,
            reasoning=prompt.reasoning,
            system_role=prompt.system_role,
        )
