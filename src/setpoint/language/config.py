"""Parameters of prompts and answers, without heavy imports. Defaults come from the preset of the base model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Template = Literal["short", "english", "state"]
Reasoning = Literal["none", "feedback", "full"]
SystemRole = Literal["system", "folded"]
Blocking = Literal["coarse_to_fine", "every_step"]
TEMPLATES: tuple[Template, ...] = ("short", "english", "state")
REASONINGS: tuple[Reasoning, ...] = ("none", "feedback", "full")
SYSTEM_ROLES: tuple[SystemRole, ...] = ("system", "folded")
AUTO: Literal["auto"] = "auto"
MOST_DECIMALS = 6


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptParameters(_Parameters):
    """Prompts: what a model reads, and how it may think before it answers."""

    template: Template = "short"
    """`short` (one line of key=value), `english` (sentences and equations) or `state` (name and state only)."""
    reasoning: Reasoning = "feedback"
    """What precedes the moves: `none`, `feedback` (the control of a linear regulator) or `full` (sentences)."""
    state_decimals: Annotated[int, Field(ge=0, le=MOST_DECIMALS)] = 4
    """Decimals of a state."""
    system_role: SystemRole = "system"
    """Where the task is stated: in a `system` message, or `folded` into the user's message."""


class AnswerParameters(_Parameters):
    """Answers: the moves that a model writes."""

    moves: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of leading moves; 0 means all moves of the horizon. With fewer, only closed loop is evaluated."""
    blocking: Blocking = "coarse_to_fine"
    """`coarse_to_fine` (ten moves over fifty steps, short at first) or `every_step` (one move per step)."""
    decimals: Annotated[int, Field(ge=0, le=MOST_DECIMALS)] | Literal["auto"] = 2
    """Decimals of a control; `auto` takes as many per plant as keep the regret from rounding at 0.1 % or less."""


class GenerationParameters(_Parameters):
    """How answers are generated when a model is evaluated."""

    constrained: bool = False
    """Whether only answers that can be read are generated; the rate without is recorded beside the scores."""
