"""Load a language model with its adapter and complete chats in batches."""

import copy
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteria

from setpoint.errors import InputError, shown
from setpoint.language import Grammar, Message
from setpoint.policies.adapters import check_adapter
from setpoint.policies.bases import BUILTIN, BaseModel, missing_template
from setpoint.policies.chat import ChatTokens
from setpoint.policies.constraint import Answer, AnswerGrammar
from setpoint.policies.runtime import Runtime


def ignore(_finished: int) -> None:
    """Report no progress."""


_LIBRARIES = ("transformers", "peft", "accelerate", "trl")


@dataclass(frozen=True)
class Completion:
    """Completion of a chat.

    Attributes:
        text: generated text without the special tokens of the chat format.
        tokens: number of generated tokens, including the end-of-sequence token.
        ended: whether the model generated the end-of-sequence token before the token limit.
    """

    text: str
    tokens: int
    ended: bool


class LanguageModel:
    """A causal language model with its tokenizer, ready to complete batches of chats."""

    def __init__(self, model: Any, chat: ChatTokens, runtime: Runtime, source: str = "") -> None:
        """Wrap a loaded model; use `load` to load one. `source` names it and its adapter."""
        self._source = source
        self._model = model.eval()
        self._chat = chat
        self._tokenizer = chat.tokenizer
        self._runtime = runtime
        self._kept_prefix: tuple[list[int], Any] = ([], None)

    @classmethod
    def load(cls, base: BaseModel, adapter: Path | None = None, runtime: Runtime | None = None) -> "LanguageModel":
        """Load `base`, with the adapter in the folder `adapter`, if given.

        Raises:
            InputError: the base cannot be loaded or has no chat template; the adapter is missing or was trained on
                another base.
        """
        runtime = runtime or Runtime.detect(base.preset)
        runtime.apply()
        if adapter is not None:
            check_adapter(adapter, base)
        model, chat = load_base(base, runtime)
        if adapter is not None:
            model = add_adapter(model, adapter)
        return cls(model, chat, runtime, base.name if adapter is None else f"{adapter} on {base.name}")

    def __repr__(self) -> str:
        """Return the adapter and the base model."""
        return self._source or type(self).__name__

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def complete(
        self,
        chats: Sequence[Sequence[Message]],
        max_new_tokens: int,
        temperature: float = 0.0,
        done: Callable[[str], bool] | None = None,
        progress: Callable[[int], None] = ignore,
        grammar: Grammar | None = None,
    ) -> list[Completion]:
        """Return one completion per chat, in order: greedy, or sampled if `temperature` > 0.

        Chats are batched by prompt length to reduce padding.

        Args:
            grammar: only completions that match it are generated, greedily, whatever their length.
            done: a completion ends early once its text is done.
            progress: called with the number of finished completions after every batch.
        """
        prompts = [self._chat.prompt(chat) for chat in chats]
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        completions: dict[int, Completion] = {}
        size = self._runtime.generation_batch_size
        if grammar is not None and not self._fits_window(max(map(len, prompts), default=0) + max_new_tokens):
            size = 1  # rows of a batch are padded within, see `_prefix`
        for start in range(0, len(by_length), size):
            rows = by_length[start : start + size]
            batch = [prompts[row] for row in rows]
            if grammar is not None:
                found = self._generate_constrained(batch, grammar, done)
            else:
                found = self._generate(batch, max_new_tokens, temperature, done)
            completions.update(zip(rows, found, strict=True))
            progress(len(completions))
        return [completions[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def _generate(
        self,
        prompts: Sequence[list[int]],
        max_new_tokens: int,
        temperature: float,
        done: Callable[[str], bool] | None,
    ) -> list[Completion]:
        pad, ends = self._tokenizer.pad_token_id, self._chat.ends
        width = max(len(prompt) for prompt in prompts)
        aligned = len({len(prompt) for prompt in prompts}) == 1
        shared, cache = self._prefix(prompts) if aligned or self._fits_window(width + max_new_tokens) else (0, None)
        # Padding lies between the shared prefix and the rest, so that the cache of the prefix serves every row.
        gaps = [width - len(prompt) for prompt in prompts]
        ids = torch.tensor(
            [prompt[:shared] + [pad] * gap + prompt[shared:] for prompt, gap in zip(prompts, gaps, strict=True)],
            device=self._model.device,
        )
        mask = torch.tensor(
            [[1] * shared + [0] * gap + [1] * (width - shared - gap) for gap in gaps], device=self._model.device
        )
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        output = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            max_new_tokens=room_for_answer(self._model, width, max_new_tokens),
            pad_token_id=pad,
            eos_token_id=sorted(ends),
            stopping_criteria=None if done is None else [_StopWhenDone(self._tokenizer, width, done)],
            **sampling,
        )
        return [self._completion(row, ends) for row in output[:, width:].tolist()]

    @torch.inference_mode()
    def _generate_constrained(
        self, prompts: Sequence[list[int]], grammar: Grammar, done: Callable[[str], bool] | None
    ) -> list[Completion]:
        """Return the most likely tokens that match `grammar`, one at a time; forced tokens are appended unasked."""
        answers = [self._grammar.new_answer(grammar) for _ in prompts]
        shared, cache = self._prefix(prompts)
        found = [answer.forced() for answer in answers]
        unread = [prompt[shared:] + tokens for prompt, tokens in zip(prompts, found, strict=True)]
        mask = torch.ones(len(prompts), shared, dtype=torch.long, device=self._model.device)
        while any(unread):
            logits, mask, cache = self._read(unread, mask, cache)
            for row, answer in enumerate(answers):
                unread[row] = [] if answer.ended else self._choose(answer, logits[row])
                found[row] += unread[row]
                if answer.ended or (done is not None and done(self._text(found[row]))):
                    answer.end()
                    unread[row] = []
        return [Completion(self._text(tokens), len(tokens), True) for tokens in found]

    def _choose(self, answer: Answer, logits: torch.Tensor) -> list[int]:
        """Append the most likely token that may follow, and those that it forces, to `answer`; return them."""
        token = int(logits.masked_fill(~answer.allowed().to(logits.device), -torch.inf).argmax())
        answer.take(token)
        return [token, *answer.forced()]

    def _read(
        self, unread: Sequence[list[int]], mask: torch.Tensor, cache: Any
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Feed the unread tokens of every row; return the next logits, the attention mask so far, and the cache."""
        pad, width = self._tokenizer.pad_token_id, max(map(len, unread))
        ids = torch.tensor([[pad] * (width - len(row)) + row for row in unread], device=mask.device)
        new = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in unread], device=mask.device)
        mask = torch.cat([mask, new], dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -width:]
        output = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float(), mask, output.past_key_values

    def _fits_window(self, tokens: int) -> bool:
        """Return whether every layer attends to this many tokens."""
        window = getattr(self._model.config.get_text_config(), "sliding_window", None)
        return window is None or tokens <= window

    @cached_property
    def _grammar(self) -> AnswerGrammar:
        vocabulary = self._model.get_output_embeddings().weight.shape[0]
        return AnswerGrammar(self._tokenizer, vocabulary, sorted(self._chat.ends))

    def _text(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _prefix(self, prompts: Sequence[list[int]]) -> tuple[int, Any]:
        """Return the length of the common prefix of `prompts` and its key-value cache for every row; (0, None) without.

        Prompts of one plant differ only in the state at their end, and prefilling dominates the computation. The cache
        of the latest prefix is kept for the next batch. Prompts of different lengths are padded after the prefix; a
        sliding window would count that padding, so it must hold whole sequences.
        """
        shared = shared_prefix(prompts)
        kept, cache = self._kept_prefix
        if len(prompts) == 1 and kept and len(kept) < len(prompts[0]) and prompts[0][: len(kept)] == kept:
            shared = len(kept)
        if shared and kept != prompts[0][:shared]:
            kept = prompts[0][:shared]
            ids = torch.tensor([kept], device=self._model.device)
            cache = self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
            self._kept_prefix = (kept, cache)
        if not shared:
            return 0, None
        cache = copy.deepcopy(cache)
        cache.batch_repeat_interleave(len(prompts))
        return shared, cache

    def _completion(self, generated: list[int], ends: frozenset[int]) -> Completion:
        """Truncate `generated` at its first end-of-sequence token; the rest is padding."""
        end = next((index for index, token in enumerate(generated) if token in ends), None)
        answer = generated if end is None else generated[:end]
        return Completion(self._text(answer), len(answer) + (end is not None), end is not None)


def room_for_answer(model: Any, prompt_tokens: int, wanted: int) -> int:
    """Return how many of the `wanted` tokens fit after a prompt into the context of the model, at least one."""
    context = getattr(model.config, "max_position_embeddings", None)
    return wanted if context is None else max(1, min(wanted, context - prompt_tokens))


class _StopWhenDone(StoppingCriteria):
    """Ends each row of a batch once its text is done."""

    def __init__(self, tokenizer: Any, width: int, done: Callable[[str], bool]) -> None:
        """Judge the tokens after the first `width` ones."""
        self._tokenizer = tokenizer
        self._width = width
        self._done = done

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        """Return which rows have ended."""
        texts = self._tokenizer.batch_decode(input_ids[:, self._width :], skip_special_tokens=True)
        return torch.tensor([self._done(text) for text in texts], device=input_ids.device)


def shared_prefix(prompts: Sequence[list[int]]) -> int:
    """Return the length of the common prefix of several prompts, shorter than the shortest of them."""
    if len(prompts) < 2:
        return 0
    shortest = min(map(len, prompts)) - 1
    columns = zip(*(prompt[:shortest] for prompt in prompts), strict=True)
    return next((position for position, column in enumerate(columns) if len(set(column)) > 1), shortest)


def load_base(base: BaseModel, runtime: Runtime) -> tuple[Any, ChatTokens]:
    """Load the model and tokenizer of `base`, in the precision and on the device of `runtime`.

    The hub is contacted only for hub ids, and never with HF_HUB_OFFLINE=1. Code of a model is never run, and weights
    are only read as safetensors. Of its generation settings only the end and padding tokens are used, so that greedy is
    greedy, and training and evaluation sample alike.

    Raises:
        InputError: the base cannot be loaded or its chat template cannot be used.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    silence_libraries()
    safely: dict[str, Any] = {"trust_remote_code": False, "local_files_only": Path(base.location).exists()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.location, padding_side="left", **safely)
        model = AutoModelForCausalLM.from_pretrained(base.location, dtype=runtime.dtype, use_safetensors=True, **safely)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise InputError(
            f"base model {base.name!r} cannot be loaded: {_first_line(error)} Choose another with --base-model, or "
            "download it first if the hub is not reachable (HF_HUB_OFFLINE=1)."
        ) from error
    if not tokenizer.chat_template:
        raise missing_template(base.name)
    declared = model.generation_config.eos_token_id
    try:
        chat = ChatTokens.of(tokenizer, declared if isinstance(declared, list) else [declared])
    except InputError as error:
        raise InputError(
            f"base model {base.name!r} cannot be used: {error}. Choose another with --base-model."
        ) from error
    model.generation_config = _plain_generation(model, chat, base)
    return model.to(runtime.device), chat


def _plain_generation(model: Any, chat: ChatTokens, base: BaseModel) -> Any:
    """Return generation settings with nothing but the end and padding tokens of the base."""
    from transformers import GenerationConfig

    # The built-in base was pretrained on prompts and answers with different tokens, and must not mix them.
    confined = {"suppress_tokens": model.generation_config.suppress_tokens} if base.name == BUILTIN else {}
    return GenerationConfig(eos_token_id=sorted(chat.ends), pad_token_id=chat.tokenizer.pad_token_id, **confined)


def add_adapter(model: Any, folder: Path, *, trainable: bool = False) -> Any:
    """Return `model` with the adapter in `folder`.

    Raises:
        InputError: PEFT cannot use its files.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # PEFT checks little, so that a wrong value fails anywhere
        raise InputError(
            f"adapter {shown(str(folder))} cannot be loaded ({type(error).__name__}: {_first_line(error)}). Copy it "
            "again."
        ) from error


def silence_libraries() -> None:
    """Suppress progress bars and warnings of the model libraries; errors are still logged."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", module=rf"{name}\.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
