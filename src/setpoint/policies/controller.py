"""Language-model controller: maps states to prompts, completions to moves, and moves to controls on the time grid."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from setpoint.controllers import ControlPlan, ProblemController
from setpoint.errors import InputError
from setpoint.language import (
    Grammar,
    Message,
    ParseFailure,
    PromptFormat,
    answer_grammar,
    has_moves,
    longest_answer,
    messages,
    parse_answer,
)
from setpoint.policies.bases import BaseModel
from setpoint.policies.language_model import Completion, LanguageModel, ignore
from setpoint.policies.presets import BasePreset
from setpoint.problems import Problem
from setpoint.trajectory import Termination


def moves_to_generate(preset: BasePreset, prompt_format: PromptFormat, steps: int) -> int | None:
    """Return the number of leading moves to sample for the first `steps` steps; None for the complete answer.

    Sampling can be cut off after a number of tokens only if the answers of the base have a fixed token layout.
    """
    blocking = prompt_format.blocking
    needed = blocking.moves_covering(min(steps, blocking.steps))
    fixed_layout = preset.header_tokens is not None and prompt_format == preset.prompt_format
    return needed if fixed_layout and needed < blocking.moves else None


def answer_limit(
    preset: BasePreset, problem: Problem, prompt_format: PromptFormat, moves: int | None, count: "CountTokens"
) -> int:
    """Return the most tokens that `moves` moves of an answer may take (None: the complete answer with its end).

    Args:
        count: returns the number of tokens of a text.
    """
    fixed = preset.answer_tokens(problem.plant, prompt_format, moves)
    if fixed is not None:
        return fixed
    whole = prompt_format.blocking.moves if moves is None else moves
    longest = count(longest_answer(problem, whole, prompt_format))
    # Explanations vary in length, and a tokenizer may split other digits into more pieces.
    spare = _EXPLANATION_SPARE if prompt_format.reasoning == "full" else _SPARE
    return math.ceil(longest * (1 + spare)) + _END_TOKENS


CountTokens = Callable[[str], int]
Notify = Callable[[str], None]
_SPARE, _EXPLANATION_SPARE = 0.1, 0.5
"""Share of tokens beyond those of the longest answer that is composed here."""
_END_TOKENS = 2
"""The end-of-sequence token, and a comma or closing tag that may begin a token of its own."""


def say_nothing(_text: str) -> None:
    """Report no progress."""


class ChatModel(Protocol):
    """Interface that a controller requires of a language model."""

    def complete(
        self,
        chats: list[list[Message]],
        max_new_tokens: int,
        temperature: float = 0.0,
        done: Callable[[str], bool] | None = None,
        progress: Callable[[int], None] = ignore,
        grammar: Grammar | None = None,
    ) -> list[Completion]:
        """Return one completion per chat, in order; each may stop once its text is `done`, and matches `grammar`."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`."""


def load_controllers(
    base: BaseModel,
    prompt_format: PromptFormat,
    adapter: Path | None = None,
    progress: Notify = say_nothing,
    *,
    constrained: bool = False,
) -> "Callable[[Problem], LLMController]":
    """Load a model once and return a function that builds its controller for any problem.

    Args:
        constrained: whether only answers that can be read are generated.
        progress: called with a few words after every batch of completions.

    Raises:
        InputError: the base or the adapter is invalid.
    """
    model = LanguageModel.load(base, adapter)
    return lambda problem: LLMController(problem, model, base.preset, prompt_format, progress, constrained=constrained)


class LLMController(ProblemController):
    """Queries a language model for a plan from each state; the horizon in the prompt is the same at all times."""

    name = "llm"

    def __init__(
        self,
        problem: Problem,
        model: ChatModel,
        preset: BasePreset,
        prompt_format: PromptFormat | None = None,
        progress: Notify = say_nothing,
        *,
        constrained: bool = False,
    ) -> None:
        """Control `problem` with `model`, in `prompt_format` (default: that of `preset`)."""
        super().__init__(problem)
        self._model = model
        self._preset = preset
        self._format = prompt_format or preset.prompt_format
        self._progress = progress
        self._constrained = constrained

    @property
    def covered_steps(self) -> int:
        """Number of steps that an answer covers."""
        return min(self._format.blocking.steps, self.problem.steps)

    def __repr__(self) -> str:
        """Return the system and the model."""
        return f"LLMController({self.problem.name}, {self._model!r})"

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return controls for at least `steps` steps; zeros for unreadable answers.

        Generation stops after the required moves. The model is autoregressive, so stopping early does not change them.

        Raises:
            InputError: an answer covers fewer steps.
        """
        blocking = self._format.blocking
        if not self._format.covers(min(steps, self.problem.steps)):
            raise InputError(
                f"answers of {blocking.moves} moves cover {blocking.steps} steps of {self.problem.name}, but {steps} "
                "are needed at a time. Replan more often, or raise answer.moves."
            )
        needed = blocking.moves_covering(min(steps, blocking.steps))
        truncated = needed < blocking.moves
        chats = [messages(self.problem, state, self._format) for state in x.tolist()]
        limit = answer_limit(
            self._preset, self.problem, self._format, needed if truncated else None, self._model.count_tokens
        )
        fixed_layout = moves_to_generate(self._preset, self._format, steps) is not None
        done = partial(self._has, needed) if truncated and not fixed_layout else None
        step = round(t / self.problem.plant.dt_s)
        where = f"{self.problem.name}, plans of step {step} of {self.problem.steps}"
        completions = self._model.complete(
            chats,
            limit,
            done=done,
            progress=lambda count: self._progress(f"{where}: {count} of {len(chats)} cases"),
            grammar=answer_grammar(self.problem, self._format) if self._constrained else None,
        )
        answers = [self._parse(completion, needed, truncated) for completion in completions]
        zero = np.zeros((needed, self.problem.plant.n_u))
        return ControlPlan(
            controls=blocking.expand(np.stack([zero if isinstance(a, Termination) else a for a in answers])),
            outcomes=tuple(a if isinstance(a, Termination) else Termination.COMPLETED for a in answers),
            tokens=np.array([completion.tokens for completion in completions], dtype=np.int64),
        )

    def unconstrained(self) -> "LLMController":
        """Return the same controller without constraint."""
        return LLMController(self.problem, self._model, self._preset, self._format, self._progress)

    def _has(self, moves: int, text: str) -> bool:
        """Whether `text` contains this many complete moves, each followed by a comma."""
        return has_moves(text, moves, tagged=self._format.tagged)

    def _parse(self, completion: Completion, moves: int, truncated: bool) -> Float[np.ndarray, "M n_u"] | Termination:
        answer = parse_answer(
            completion.text,
            moves,
            self.problem.plant.n_u,
            complete=not truncated,
            decimals=self._format.decimals_of(self.problem),
            tagged=self._format.tagged,
        )
        if not isinstance(answer, ParseFailure):
            return answer
        return answer.termination if completion.ended or truncated else Termination.TOKEN_LIMIT
