"""Presets of base models: prompt and answer format, and training defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from setpoint.language import AnswerParameters, PromptFormat, PromptParameters
from setpoint.plants import Plant

ONE_DIGIT = 10.0
"""Controls below this fit the token layout of a preset; larger ones need up to one more token per digit and sign."""


@dataclass(frozen=True)
class BasePreset:
    """Defaults of a base model, which are resolved into the recorded configuration of each stage.

    Attributes:
        name: `tiny`, `small` or `general`.
        prompt, answer: default format of prompts and answers.
        lora, sft, dagger, grpo: default parameters of the training stages.
        header_tokens: tokens before the first move of an answer, if answers have a fixed layout; else None.
        tokens_per_move: tokens per control of a move below `ONE_DIGIT`, if constant; else None. With both values,
            generation stops after the required moves.
        max_answer_tokens: maximum tokens of a complete answer of a fixed layout, per control of the plant.
    """

    name: str
    prompt: Mapping[str, Any]
    answer: Mapping[str, Any]
    lora: Mapping[str, Any]
    sft: Mapping[str, Any]
    dagger: Mapping[str, Any]
    grpo: Mapping[str, Any]
    max_answer_tokens: int | None = None
    header_tokens: int | None = None
    tokens_per_move: int | None = None

    @property
    def generation(self) -> Mapping[str, Any]:
        """Default generation of answers: unconstrained."""
        return {}

    def rate_ratio(self, kind: str) -> float:
        """Return the default ratio of the peak learning rate of a later training stage to that of SFT."""
        return float(getattr(self, kind)["learning_rate"]) / float(self.sft["learning_rate"])

    @property
    def prompt_format(self) -> PromptFormat:
        """The default format of prompts and answers."""
        return PromptFormat.of(PromptParameters(**self.prompt), AnswerParameters(**self.answer))

    def answer_tokens(self, plant: Plant, prompt_format: PromptFormat, moves: int | None = None) -> int | None:
        """Return the number of tokens for the first `moves` moves of `plant` (None: the complete answer).

        None unless answers in `prompt_format` have the fixed layout of this base. The reasoning before the moves also
        contains one number per control.
        """
        if prompt_format != self.prompt_format or self.max_answer_tokens is None:
            return None
        if self.header_tokens is None or self.tokens_per_move is None:
            return None
        n_u, largest = plant.n_u, float(np.abs([plant.control_lower, plant.control_upper]).max())
        spare = 0 if largest < ONE_DIGIT else len(f"-{largest:.0f}")
        if moves is None:
            return (self.max_answer_tokens + prompt_format.blocking.moves * spare) * n_u
        # The header is counted for one control: n_u - 1 further numbers in the reasoning, then `moves` * n_u controls.
        return self.header_tokens + (n_u - 1 + moves * n_u) * self.tokens_per_move + moves * n_u * spare


TINY = BasePreset(
    name="tiny",
    prompt={"template": "short", "reasoning": "feedback", "state_decimals": 4},
    answer={"moves": 0, "decimals": 2},
    lora={"rank": 8, "scale": 20.0},
    sft={"learning_rate": 2e-4, "steps": 200, "batch_size": 16},
    dagger={"learning_rate": 2e-4, "steps": 300, "batch_size": 16},
    grpo={"learning_rate": 1e-4, "steps": 60, "batch_size": 64},
    header_tokens=6,
    tokens_per_move=2,
    max_answer_tokens=32,
)
_COMPACT_PROMPT = {"template": "state", "reasoning": "none", "state_decimals": 3}
_COMPACT_ANSWER = {"moves": 4, "decimals": "auto"}
SMALL = BasePreset(
    name="small",
    prompt=_COMPACT_PROMPT,
    answer=_COMPACT_ANSWER,
    lora={"rank": 16, "scale": 2.0},
    sft={"learning_rate": 1e-3, "steps": 400, "batch_size": 8, "validation_every": 100},
    dagger={"learning_rate": 5e-4, "steps": 300, "batch_size": 8},
    grpo={"learning_rate": 5e-5, "steps": 100, "batch_size": 64},
)
GENERAL = BasePreset(
    name="general",
    prompt=_COMPACT_PROMPT,
    answer=_COMPACT_ANSWER,
    lora={"rank": 16, "scale": 2.0},
    sft={"learning_rate": 2e-4, "steps": 250, "batch_size": 16},
    dagger={"learning_rate": 1e-4, "steps": 150, "batch_size": 16},
    grpo={"learning_rate": 1e-5, "steps": 200, "batch_size": 64},
)
PRESETS = {preset.name: preset for preset in (TINY, SMALL, GENERAL)}
SMALL_BYTES = 1_000_000_000
"""Weights on disk below which a base has the preset `small`: up to 500 million weights in 16 bits."""


def preset_of(weight_bytes: int) -> BasePreset:
    """Return the preset of a base other than the built-in one, by the size of its weights on disk."""
    return SMALL if weight_bytes < SMALL_BYTES else GENERAL
