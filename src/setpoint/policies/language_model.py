"""Load a language model with its adapter and complete chats in batches."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from setpoint.errors import InputError
from setpoint.language import Message
from setpoint.policies.adapters import check_adapter
from setpoint.policies.bases import BaseModel, missing_template
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

    def __init__(self, model: Any, tokenizer: Any, runtime: Runtime, source: str = "") -> None:
        """Wrap a loaded model; use `load` to load one. `source` names it and its adapter."""
        self._source = source
        self._model = model.eval()
        self._tokenizer = tokenizer
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
        model, tokenizer = load_base(base, runtime)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(adapter))
        return cls(model, tokenizer, runtime, base.name if adapter is None else f"{adapter} on {base.name}")

    def __repr__(self) -> str:
        """Return the adapter and the base model."""
        return self._source or type(self).__name__

    def complete(
        self, chats: Sequence[Sequence[Message]], max_new_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        """Return one completion per chat, in order: greedy, or sampled if `temperature` > 0.

        Chats are batched by prompt length to reduce padding.
        """
        prompts = [self._encode(chat) for chat in chats]
        by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        completions: dict[int, Completion] = {}
        size = self._runtime.generation_batch_size
        for start in range(0, len(by_length), size):
            rows = by_length[start : start + size]
            found = self._generate([prompts[row] for row in rows], max_new_tokens, temperature)
            completions.update(zip(rows, found, strict=True))
        return [completions[index] for index in range(len(prompts))]

    def _encode(self, chat: Sequence[Message]) -> list[int]:
        encoded = self._tokenizer.apply_chat_template(list(chat), add_generation_prompt=True, return_dict=True)
        ids: list[int] = encoded["input_ids"]
        return ids

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], max_new_tokens: int, temperature: float) -> list[Completion]:
        pad, ends = self._tokenizer.pad_token_id, self._end_tokens()
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
            max_new_tokens=max_new_tokens,
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
        text = self._tokenizer.decode(answer, skip_special_tokens=True)
        return Completion(text, len(answer) + (end is not None), end is not None)

    def _end_tokens(self) -> frozenset[int]:
        declared = self._model.generation_config.eos_token_id
        declared = declared if isinstance(declared, list) else [declared]
        return frozenset(token for token in (*declared, self._tokenizer.eos_token_id) if token is not None)


def shared_prefix(prompts: Sequence[list[int]]) -> int:
    """Return the length of the common prefix, shorter than a prompt; 0 if the prompts differ in length."""
    if len(prompts) < 2 or len({len(prompt) for prompt in prompts}) > 1:
        return 0
    different = (position for position, column in enumerate(zip(*prompts, strict=True)) if len(set(column)) > 1)
    return next(different, len(prompts[0]) - 1)


def load_base(base: BaseModel, runtime: Runtime) -> tuple[Any, Any]:
    """Load the model and tokenizer of `base`, in the precision and on the device of `runtime`.

    The hub is contacted only for hub ids, and never with HF_HUB_OFFLINE=1.

    Raises:
        InputError: the base cannot be loaded or has no chat template.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    silence_libraries()
    local = {"local_files_only": True} if Path(base.location).exists() else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.location, padding_side="left", **local)
        model = AutoModelForCausalLM.from_pretrained(base.location, dtype=runtime.dtype, **local)
    except (OSError, ValueError) as error:
        raise InputError(
            f"base model {base.name!r} cannot be loaded: {_first_line(error)} Choose another with --base-model, or "
            "download it first if the hub is not reachable (HF_HUB_OFFLINE=1)."
        ) from error
    if not tokenizer.chat_template:
        raise missing_template(base.name)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(runtime.device), tokenizer


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
