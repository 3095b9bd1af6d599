"""Constrained decoding: only tokens that can continue an answer of the grammar are chosen.

The grammar is a token mask by llguidance. Where it leaves no choice, such as the point and the comma of a number with
two decimals, the forced tokens are appended without asking the model, and read together with the next chosen one.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from setpoint.errors import InputError
from setpoint.language import Grammar


class AnswerGrammar:
    """The grammars of answers over the vocabulary of one model."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        """Use the tokens of `tokenizer`; an answer ends with one of `ends`.

        Raises:
            InputError: llguidance is not installed, or does not support the tokenizer.
        """
        try:
            from llguidance.hf import from_tokenizer
        except ImportError as error:
            raise InputError(
                f"constrained decoding needs the package {error.name!r}. Install it with: pip install "
                "'setpoint[constrained]', or set generation.constrained to false."
            ) from error
        try:
            self._tokens = from_tokenizer(tokenizer, n_vocab=vocabulary, eos_token=list(ends))
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"constrained decoding does not support this tokenizer: {error}. Set generation.constrained to false."
            ) from error
        self._vocabulary = vocabulary
        self._added: dict[str, int] = dict(tokenizer.get_added_vocab())
        self._compiled: dict[Grammar, Any] = {}

    def new_answer(self, grammar: Grammar) -> "Answer":
        """Return a new answer that must match `grammar` as a whole."""
        from llguidance import LLMatcher

        if grammar not in self._compiled:
            found = LLMatcher.grammar_from_lark("start: " + " ".join(map(self._element, grammar)))
            self._compiled[grammar] = LLMatcher(self._tokens, found)
        return Answer(self._compiled[grammar].deep_copy(), self._vocabulary)

    def _element(self, part: str) -> str:
        """Return a tag or a regular expression in the notation of llguidance; a tag may be a token of its own."""
        if part in self._added:
            return f"<[{self._added[part]}]>"
        return json.dumps(part) if part.startswith("<") else "/" + part.replace("/", "\\/") + "/"


class Answer:
    """One answer in the making."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        """Start with no tokens."""
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._cut = False

    @property
    def ended(self) -> bool:
        """Whether the answer is complete and nothing may follow, or was ended early."""
        return self._cut or bool(self._matcher.is_stopped())

    def end(self) -> None:
        """End the answer here."""
        self._cut = True

    def allowed(self) -> torch.Tensor:
        """Return which tokens may follow, (V,)."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return torch.from_numpy(np.unpackbits(bits, bitorder="little")[: self._vocabulary].astype(bool))

    def take(self, token: int) -> None:
        """Append a token that may follow."""
        self._matcher.consume_token(token)

    def forced(self) -> list[int]:
        """Append the tokens that must follow, and return them."""
        found: list[int] = [] if self.ended else list(self._matcher.compute_ff_tokens())
        if found:
            self._matcher.consume_tokens(found)
        return found
