"""Lengths of prompts and answers in tokens, from the tokenizer file of a base model alone."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from setpoint.language import PromptFormat, longest_answer, messages
from setpoint.policies.bases import BaseModel
from setpoint.problems import Problem

_PER_MESSAGE = 5
"""Tokens that a chat template adds to a message: its marks, its role and a line break."""
_OPENING = 4
"""Tokens that open the answer."""
_END = 1


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """About how many tokens a prompt and the longest answer take; chat templates differ by a few."""

    prompt: int
    answer: int


def token_counts(base: BaseModel, problem: Problem, prompt_format: PromptFormat) -> TokenCounts | None:
    """Return the lengths of a prompt and its answer; None without a tokenizer file or the package that reads it."""
    tokenizer = _tokenizer(Path(base.location) / "tokenizer.json")
    if tokenizer is None:
        return None

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    state = problem.initial_centre - problem.half_width
    chat = messages(problem, state.tolist(), prompt_format)
    prompt = sum(count(message["content"]) + _PER_MESSAGE for message in chat) + _OPENING
    answer = count(longest_answer(problem, prompt_format.blocking.moves, prompt_format)) + _END
    return TokenCounts(prompt, answer)


@cache
def _tokenizer(file: Path) -> Any:
    if not file.is_file():
        return None
    try:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(file))
    except Exception:  # the library is missing, or raises a plain Exception for a file that it cannot read
        return None
