"""Generation and scoring of answers as in GRPO, and the pre-flight that tells whether there is anything to learn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from setpoint import problems
from setpoint.errors import StageError
from setpoint.policies.controller import answer_limit, moves_to_generate
from setpoint.policies.language_model import LanguageModel
from setpoint.rewards import RewardRule, Scores
from setpoint.seeding import derive_seed
from setpoint.training.config import GrpoParameters
from setpoint.training.rows import Example
from setpoint.training.session import Session

_NO_SPREAD = 1e-6


@dataclass(frozen=True)
class Scoring:
    """How answers are generated and scored.

    Attributes:
        rule: the reward.
        tokens: largest number of tokens of an answer, up to the last move that is scored.
    """

    session: Session
    rule: RewardRule
    tokens: int

    @classmethod
    def of(cls, session: Session, parameters: GrpoParameters, systems: Sequence[str]) -> "Scoring":
        prompt_format = session.prompt_format
        preset = session.base.preset
        moves = moves_to_generate(preset, prompt_format, parameters.reward_horizon or prompt_format.blocking.steps)
        cut_off = moves is not None
        return cls(
            session,
            RewardRule(prompt_format, parameters.reward_horizon, parameters.reward_tolerance, cut_off=cut_off),
            max(
                answer_limit(preset, problems.get(name), prompt_format, moves, session.count_tokens) for name in systems
            ),
        )

    def greedy_rewards(self, examples: Sequence[Example]) -> Float[np.ndarray, " R"]:
        """Return the rewards of the most likely answers of the current adapter."""
        return self.scores(examples).reward

    def scores(self, examples: Sequence[Example], temperature: float = 0.0) -> Scores:
        """Score one answer of the current adapter to each prompt; temperature 0 is greedy."""
        model = LanguageModel(self.session.model, self.session.chat, self.session.runtime)
        prompts = [example.prompt(self.session.prompt_format) for example in examples]
        return self.rule.score(
            [completion.text for completion in model.complete(prompts, self.tokens, temperature)],
            [example.system for example in examples],
            [example.state.tolist() for example in examples],
            [example.optimal_cost for example in examples],
        )


@dataclass(frozen=True)
class Preflight:
    """What sampling before the first step says about the signal that GRPO would learn from.

    Attributes:
        readable: share of readable sampled answers.
        groups_with_spread: share of prompts whose answers have different rewards; only these have a gradient.
        greedy, sampled, best: mean reward of the most likely answers, of samples, and of the best sample per prompt.
        spread: mean standard deviation of the rewards of a prompt.
    """

    readable: float
    groups_with_spread: float
    greedy: float
    sampled: float
    best: float
    spread: float

    def summary(self) -> dict[str, float]:
        """Return the entries of the summary of a stage."""
        return {f"preflight_{name}": float(getattr(self, name)) for name in self.__dataclass_fields__}

    def require_signal(self) -> None:
        """Refuse a stage that cannot learn anything.

        Raises:
            StageError: all sampled answers are unreadable, or those of each prompt have equal rewards.
        """
        if self.readable and self.groups_with_spread:
            return
        found = (
            "no sampled answer is readable" if not self.readable else "the answers to each prompt have equal rewards"
        )
        raise StageError(
            "no_learning_signal",
            f"GRPO cannot learn here: before the first step, {found}",
            evidence=dict(self.summary()),
            suggestion="if answers are unreadable, train with SFT first; otherwise raise temperature or "
            "num_generations, or lower reward_tolerance",
        )


def preflight(scoring: Scoring, parameters: GrpoParameters, examples: Sequence[Example]) -> Preflight:
    """Sample a group of answers to each prompt and score them, as the first steps of training would."""
    torch.manual_seed(derive_seed("preflight", scoring.session.context.seed))
    greedy = scoring.scores(examples)
    repeated = [example for example in examples for _ in range(parameters.group_size)]
    sampled = scoring.scores(repeated, parameters.temperature)
    groups = sampled.reward.reshape(len(examples), -1)
    spread = groups.std(axis=1, ddof=1)
    return Preflight(
        readable=float(sampled.readable.mean()),
        groups_with_spread=float((spread > _NO_SPREAD).mean()),
        greedy=float(greedy.reward.mean()),
        sampled=float(groups.mean()),
        best=float(groups.max(axis=1).mean()),
        spread=float(spread.mean()),
    )
