"""A language model as a controller: state to prompt, completion to moves, moves to controls on the plant's grid."""

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
    """How many leading moves to generate for the first `steps` steps; None for the whole answer, with its end.

    Generation can stop early only where a base's answers have a fixed layout of tokens.
    """
    blocking = preset.prompt_format.blocking
    needed = blocking.moves_covering(min(steps, blocking.steps))
    known_layout = preset.header_tokens is not None and preset.tokens_per_move is not None
    return needed if known_layout and needed < blocking.moves else None


class CompletesChats(Protocol):
    """What a controller needs of a language model."""

    def complete(self, chats: list[list[Message]], max_new_tokens: int, temperature: float = 0.0) -> list[Completion]:
        """One completion for every chat, in order."""


def load_controllers(
    base: BaseModel, prompt_format: PromptFormat, adapter: Path | None = None
) -> "Callable[[Problem], LLMController]":
    """What makes the controller of any problem out of a model in this prompt format, which is loaded once, here.

    Raises:
        InputError: the base or the adapter cannot be used.
    """
    model = LanguageModel.load(base, adapter)
    preset = replace(base.preset, prompt_format=prompt_format)
    return lambda problem: LLMController(problem, model, preset)


class LLMController(ProblemController):
    """Asks a language model for the plan of every state, with the same horizon in the prompt whatever the time is."""

    name = "llm"

    def __init__(self, problem: Problem, model: CompletesChats, preset: BasePreset) -> None:
        """Speak the preset's prompt format with `model` about `problem`."""
        super().__init__(problem)
        self._model = model
        self._preset = preset

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Controls for at least `steps` steps; zeros where an answer could not be read.

        Where the layout of answers is known, generation stops after the moves that are needed: a model that continues
        an answer writes its first moves without regard to whether the rest will be generated.
        """
        blocking = self._preset.prompt_format.blocking
        needed = moves_to_generate(self._preset, steps)
        moves = needed or blocking.moves
        chats = [messages(self.problem, state, self._preset.prompt_format) for state in x.tolist()]
        completions = self._model.complete(chats, self._preset.answer_tokens(self.problem.plant, needed))
        answers = [self._read(completion, moves, needed is not None) for completion in completions]
        nothing = np.zeros((moves, self.problem.plant.n_u))
        return ControlPlan(
            controls=blocking.expand(np.stack([nothing if isinstance(a, Termination) else a for a in answers])),
            outcomes=tuple(a if isinstance(a, Termination) else Termination.COMPLETED for a in answers),
            tokens=np.array([completion.tokens for completion in completions], dtype=np.int64),
        )

    def _read(self, completion: Completion, moves: int, cut_off: bool) -> Float[np.ndarray, "M n_u"] | Termination:
        answer = parse_answer(
            completion.text,
            moves,
            self.problem.plant.n_u,
            complete=not cut_off,
            decimals=self._preset.prompt_format.control_decimals,
        )
        if not isinstance(answer, ParseFailure):
            return answer
        return answer.termination if completion.ended or cut_off else Termination.TOKEN_LIMIT
