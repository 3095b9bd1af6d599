"""Tokens of chats: one encoding for training, sampling and evaluation, whatever the template of a base does."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.errors import InputError, shown
from setpoint.language import Message

TEMPLATE_OPTIONS = {"enable_thinking": False}
"""Options of chat templates: no thinking block before an answer. Templates without thinking ignore it."""
_SYSTEM, _USER, _ANSWER = "Control the plant.", "The state is 1.", "The control is 2."
"""Contents of the chat that a template is tried with."""


class TemplateError(InputError):
    """A chat template cannot be rendered, or leaves out what a chat contains."""


@dataclass(frozen=True)
class ChatTokens:
    """A tokenizer with what its chat template was found to do.

    Attributes:
        folds_system: whether the template has no system role, so that its text goes into the user's turn.
        appends_end: whether the template ends an answer without an end token, so that one is appended in training.
        ends: tokens that end an answer; the tokenizer's own end token, which training uses, is among them.
    """

    tokenizer: Any
    folds_system: bool
    appends_end: bool
    ends: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any, declared_ends: Iterable[int | None] = ()) -> "ChatTokens":
        """Try the template of `tokenizer`, and set its end and padding tokens accordingly.

        Args:
            declared_ends: further end tokens, of the model's configuration.

        Raises:
            InputError: the template cannot be used, or no token ends an answer.
        """
        folds_system = not _has_system_role(tokenizer)
        chat = [{"role": "user", "content": _USER}, {"role": "assistant", "content": _ANSWER}]
        text = _render(tokenizer, chat)
        if _USER not in text or _ANSWER not in text:
            raise TemplateError("the chat template leaves out the content of a message")
        mark = _end_mark(tokenizer, text.rpartition(_ANSWER)[2])
        ends = {tokenizer.eos_token_id, mark, *declared_ends} - {None}
        if not ends:
            raise InputError("no token ends an answer: the tokenizer has no eos_token and the model no eos_token_id")
        end = mark if mark is not None else tokenizer.eos_token_id
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(min(ends) if end is None else end)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(tokenizer, folds_system, mark is None, frozenset(ends))

    def folded(self, chat: Sequence[Message]) -> list[Message]:
        """Return the chat as the template can render it: without a system role, if it has none."""
        first, *rest = chat
        if not self.folds_system or first["role"] != "system" or not rest:
            return list(chat)
        return [{**rest[0], "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]

    def prompt(self, chat: Sequence[Message]) -> list[int]:
        """Return the tokens that a model is asked to continue.

        Raises:
            InputError: the template cannot render this chat.
        """
        return self._encode(self.folded(chat), add_generation_prompt=True)

    def answer(self, chat: Sequence[Message], text: str) -> list[int]:
        """Return the tokens of the answer `text`, with its end, as they follow those of `prompt`.

        Where the prompt is no prefix of the whole chat, as after a blank at its end, the answer is encoded alone.

        Raises:
            InputError: the template cannot render this chat.
        """
        prompt = self.prompt(chat)
        whole = self._encode([*self.folded(chat), {"role": "assistant", "content": text}])
        if whole[: len(prompt)] == prompt and len(whole) > len(prompt):
            answer = whole[len(prompt) :]
        else:
            answer = self.tokenizer.encode(text, add_special_tokens=False)
        return answer if self.ends.intersection(answer) else [*answer, self.tokenizer.eos_token_id]

    def _encode(self, chat: list[Message], *, add_generation_prompt: bool = False) -> list[int]:
        try:
            encoded = self.tokenizer.apply_chat_template(
                chat, add_generation_prompt=add_generation_prompt, return_dict=True, **TEMPLATE_OPTIONS
            )
        except Exception as error:
            raise _unusable(error) from error
        tokens: list[int] = encoded["input_ids"]
        return tokens


def _has_system_role(tokenizer: Any) -> bool:
    """Return whether the template shows the text of a system message; some refuse it, some drop it."""
    try:
        text = _render(tokenizer, [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}])
    except TemplateError:
        return False
    return _SYSTEM in text


def _end_mark(tokenizer: Any, after_answer: str) -> int | None:
    """Return the special token right after an answer; None if the template has none there."""
    tokens = tokenizer.encode(after_answer.lstrip(), add_special_tokens=False) if after_answer.strip() else []
    special = {
        *tokenizer.all_special_ids,
        *(id for id, token in tokenizer.added_tokens_decoder.items() if token.special),
    }
    return tokens[0] if tokens and tokens[0] in special else None


def _render(tokenizer: Any, chat: list[Message]) -> str:
    """Return the text of a chat.

    Raises:
        TemplateError: the template has an error, or raises one.
    """
    try:
        text: str = tokenizer.apply_chat_template(chat, tokenize=False, **TEMPLATE_OPTIONS)
    except Exception as error:  # a template is a program: it may raise any error
        raise _unusable(error) from error
    return text


def _unusable(error: Exception) -> TemplateError:
    reason = "it takes too much memory" if isinstance(error, MemoryError) else shown(str(error).partition("\n")[0])
    return TemplateError(f"the chat template cannot be rendered ({type(error).__name__}: {reason})")
