"""Language-model controller: maps states to prompts, completions to moves, and moves to controls on the time grid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from setpoint.controllers import ControlPlan, ProblemController
from setpoint.language import Message, ParseFailure, PromptFormat, messages, parse_answer
from setpoint.policies.bases import BaseModel
from setpoint.policies.language_model import Completion, LanguageModel
from setpoint.policies.presets import BasePreset
from setpoint.problems import Problem
from setpoint.trajectory import Termination


def moves_to_generate(preset: BasePreset, steps: int) -> int | None:
    """Return the number of leading moves to generate for the first `steps` steps; None for the complete answer.

    Generation can stop early only if the answers of the base have a fixed token layout.
    """
    blocking = preset.prompt_format.blocking
    needed = blocking.moves_covering(min(steps, blocking.steps))
    fixed_layout = preset.header_tokens is not None and preset.tokens_per_move is not None
    return needed if fixed_layout and needed < blocking.moves else None


class ChatModel(Protocol):
    """Interface that a controller requires of a language model."""

    def complete(self, chats: list[list[Message]], max_new_tokens: int, temperature: float = 0.0) -> list[Completion]:
        """Return one completion per chat, in order."""


def load_controllers(
    base: BaseModel, prompt_format: PromptFormat, adapter: Path | None = None
) -> "Callable[[Problem], LLMController]":
    """Load a model once and return a function that builds its controller for any problem.

    Raises:
        InputError: the base or the adapter is invalid.
    """
    model = LanguageModel.load(base, adapter)
    preset = replace(base.preset, prompt_format=prompt_format)
    return lambda problem: LLMController(problem, model, preset)


class LLMController(ProblemController):
    """Queries a language model for a plan from each state; the horizon in the prompt is the same at all times."""

    name = "llm"

    def __init__(self, problem: Problem, model: ChatModel, preset: BasePreset) -> None:
        """Control `problem` with `model`, using the prompt format of `preset`."""
        super().__init__(problem)
        self._model = model
        self._preset = preset

    def __repr__(self) -> str:
        """Return the system and the model."""
        return f"LLMController({self.problem.name}, {self._model!r})"

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return controls for at least `steps` steps; zeros for unreadable answers.

        With a fixed token layout, generation stops after the required moves. The model is autoregressive, so stopping
        early does not change them.
        """
        blocking = self._preset.prompt_format.blocking
        needed = moves_to_generate(self._preset, steps)
        moves = needed or blocking.moves
        chats = [messages(self.problem, state, self._preset.prompt_format) for state in x.tolist()]
        completions = self._model.complete(chats, self._preset.answer_tokens(self.problem.plant, needed))
        answers = [self._parse(completion, moves, needed is not None) for completion in completions]
        zero = np.zeros((moves, self.problem.plant.n_u))
        return ControlPlan(
            controls=blocking.expand(np.stack([zero if isinstance(a, Termination) else a for a in answers])),
            outcomes=tuple(a if isinstance(a, Termination) else Termination.COMPLETED for a in answers),
            tokens=np.array([completion.tokens for completion in completions], dtype=np.int64),
        )

    def _parse(self, completion: Completion, moves: int, truncated: bool) -> Float[np.ndarray, "M n_u"] | Termination:
        answer = parse_answer(
            completion.text,
            moves,
            self.problem.plant.n_u,
            complete=not truncated,
            decimals=self._preset.prompt_format.decimals_of(self.problem),
        )
        if not isinstance(answer, ParseFailure):
            return answer
        return answer.termination if completion.ended or truncated else Termination.TOKEN_LIMIT
