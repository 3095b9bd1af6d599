"""Presets of base models: prompt and answer format, and training defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from setpoint.language import PromptFormat
from setpoint.language.prompt_format import sufficient_decimals
from setpoint.plants import Plant
from setpoint.problems import MoveBlocking

ONE_DIGIT = 10.0
"""Controls below this fit the token layout of a preset; larger ones need up to one more token per digit and sign."""


@dataclass(frozen=True)
class BasePreset:
    """Defaults of a base model, which are resolved into the recorded configuration of each stage.

    Attributes:
        name: `tiny` or `general`.
        prompt_format: template, moves and decimals.
        lora, sft, dagger, grpo: default parameters of the training stages.
        header_tokens: tokens before the first move of an answer, if answers have a fixed layout; else None.
        tokens_per_move: tokens per control of a move below `ONE_DIGIT`, if constant; else None. With both values,
            generation stops after the required moves.
        max_answer_tokens: maximum tokens of a complete answer, per control of the plant.
    """

    name: str
    prompt_format: PromptFormat
    lora: Mapping[str, Any]
    sft: Mapping[str, Any]
    dagger: Mapping[str, Any]
    grpo: Mapping[str, Any]
    max_answer_tokens: int
    header_tokens: int | None = None
    tokens_per_move: int | None = None

    def answer_tokens(self, plant: Plant, moves: int | None = None) -> int:
        """Return the number of tokens for the first `moves` moves of `plant` (None: the complete answer).

        The reasoning before the moves also contains one number per control.
        """
        n_u, largest = plant.n_u, float(np.abs([plant.control_lower, plant.control_upper]).max())
        if self.header_tokens is None or self.tokens_per_move is None:
            return self.max_answer_tokens * n_u
        spare = 0 if largest < ONE_DIGIT else len(f"-{largest:.0f}")
        spare += sufficient_decimals(plant, self.prompt_format.control_decimals) - self.prompt_format.control_decimals
        if moves is None:
            return (self.max_answer_tokens + (self.prompt_format.blocking.moves + 1) * spare) * n_u
        # The header is counted for one control: n_u - 1 further numbers in the reasoning, then `moves` * n_u controls.
        numbers = n_u - 1 + moves * n_u
        return self.header_tokens + numbers * self.tokens_per_move + (numbers + 1) * spare


TINY = BasePreset(
    name="tiny",
    prompt_format=PromptFormat(),
    lora={"rank": 8, "scale": 20.0},
    sft={"learning_rate": 2e-4, "steps": 200, "batch_size": 16},
    dagger={"learning_rate": 2e-4, "steps": 300, "batch_size": 16},
    grpo={"learning_rate": 1e-4, "steps": 60, "batch_size": 64},
    header_tokens=6,
    tokens_per_move=2,
    max_answer_tokens=32,
)
GENERAL = BasePreset(
    name="general",
    prompt_format=PromptFormat(
        template="english", blocking=MoveBlocking.none(50), control_decimals=3, state_decimals=4
    ),
    lora={"rank": 16, "scale": 2.0},
    sft={"learning_rate": 2e-4, "steps": 250, "batch_size": 16},
    dagger={"learning_rate": 1e-4, "steps": 150, "batch_size": 16},
    grpo={"learning_rate": 1e-5, "steps": 200, "batch_size": 64},
    max_answer_tokens=1024,
)
PRESETS = {preset.name: preset for preset in (TINY, GENERAL)}
