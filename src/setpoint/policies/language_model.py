"""Load a language model with its adapter and complete chats in batches."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from setpoint.errors import InputError, shown
from setpoint.language import Message
from setpoint.policies.adapters import check_adapter
from setpoint.policies.bases import BUILTIN, BaseModel, missing_template
from setpoint.policies.chat import ChatTokens
from setpoint.policies.runtime import Runtime

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
        self._runtime = runtime

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

    def complete(
        self, chats: Sequence[Sequence[Message]], max_new_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        """Return one completion per chat, in order: greedy, or sampled if `temperature` > 0.

        Chats are batched by prompt length to reduce padding.
        """
        prompts = [self._chat.prompt(chat) for chat in chats]
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        completions: dict[int, Completion] = {}
        size = self._runtime.generation_batch_size
        for start in range(0, len(by_length), size):
            rows = by_length[start : start + size]
            found = self._generate([prompts[row] for row in rows], max_new_tokens, temperature)
            completions.update(zip(rows, found, strict=True))
        return [completions[index] for index in range(len(prompts))]

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], max_new_tokens: int, temperature: float) -> list[Completion]:
        pad, ends = self._chat.tokenizer.pad_token_id, self._chat.ends
        width = max(len(prompt) for prompt in prompts)
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=self._model.device)
        mask = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self._model.device
        )
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        output = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=self._shared_cache(prompts),
            max_new_tokens=room_for_answer(self._model, width, max_new_tokens),
            pad_token_id=pad,
            eos_token_id=sorted(ends),
            **sampling,
        )
        return [self._completion(row, ends) for row in output[:, width:].tolist()]

    def _shared_cache(self, prompts: Sequence[list[int]]) -> Any:
        """Return the key-value cache of the common prompt prefix, computed once; None if the prompts differ in length.

        Prompts of one plant differ only in the state at their end, and prefilling dominates the computation.
        """
        shared = shared_prefix(prompts)
        if not shared:
            return None
        prefix = torch.tensor([prompts[0][:shared]], device=self._model.device)
        cache = self._model(input_ids=prefix, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(prompts))
        return cache

    def _completion(self, generated: list[int], ends: frozenset[int]) -> Completion:
        """Truncate `generated` at its first end-of-sequence token; the rest is padding."""
        end = next((index for index, token in enumerate(generated) if token in ends), None)
        answer = generated if end is None else generated[:end]
        text = self._chat.tokenizer.decode(answer, skip_special_tokens=True)
        return Completion(text, len(answer) + (end is not None), end is not None)


def room_for_answer(model: Any, prompt_tokens: int, wanted: int) -> int:
    """Return how many of the `wanted` tokens fit after a prompt into the context of the model, at least one."""
    context = getattr(model.config, "max_position_embeddings", None)
    return wanted if context is None else max(1, min(wanted, context - prompt_tokens))


def shared_prefix(prompts: Sequence[list[int]]) -> int:
    """Return the length of the common prefix, shorter than a prompt; 0 if the prompts differ in length."""
    if len(prompts) < 2 or len({len(prompt) for prompt in prompts}) > 1:
        return 0
    different = (position for position, column in enumerate(zip(*prompts, strict=True)) if len(set(column)) > 1)
    return next(different, len(prompts[0]) - 1)


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
