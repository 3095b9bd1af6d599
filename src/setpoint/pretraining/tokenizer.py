"""Number-aware tokenizer: two decimals form one token; separator, sign and integer part form another.

A control with two decimals is therefore exactly two tokens, whatever its sign. Other text is encoded by byte-level BPE.
"""

import re
from collections.abc import Iterable
from math import ceil
from typing import Any

from setpoint import plants
from setpoint.language.answers import REASONING_LIMIT

VOCABULARY = 640
PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
TAGS = ("<REASONING>", "</REASONING>", "<CONTROLS>", "</CONTROLS>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_PIECES = r" ?[A-Za-z_]+=?\[?|(?:, | )?-?\d+\.|\d\d|\d|, |\s+|[^\sA-Za-z\d]"
_LARGEST_INTEGER = ceil(REASONING_LIMIT)
"""Integer parts below this are one token after a comma or space; at the start of a text, only single digits are."""
NUMBER_SHAPES = (r"\d\d", r"-?\d+\.", r", -?\d+\.", r" -?\d+\.")
"""Patterns of two decimals, and of integer parts at the start, after a comma and after a space."""


def build_tokenizer(corpus: Iterable[str]) -> Any:
    """Train a byte-level BPE tokenizer with a chat template on `corpus` and on all numbers that must be one token."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
    )
    tokenizer.train_from_iterator([*corpus, *_required_texts()], trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, padding_side="left")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def _required_texts() -> list[str]:
    """Return text that makes all digit pairs and integer parts single tokens, and plant names if there is room."""
    pairs = " ".join(f"{number:02d}" for number in range(100))
    integers = [
        f"{separator}{sign}{number}."
        for separator in (", ", " ", "")
        for number in range(_LARGEST_INTEGER)
        for sign in ("", "-")
        if separator or number < 10
    ]
    names = [f"plant={name} " for name in plants.shipped_names()]
    return [pairs] * 200 + integers * 200 + names * 200 + ["user\n", "assistant\n", "feedback"] * 200


def prompt_only_tokens(tokenizer: Any) -> list[int]:
    """Return the tokens that never occur in answers: not in two-decimal numbers, words or tags of the format."""
    numbers = "".join(f"{sep}{sign}{n}.00" for sep in (", ", " ") for sign in ("", "-") for n in range(100))
    used = set(tokenizer("".join((TAGS[0], "feedback", numbers, *TAGS[1:], END, "\n")))["input_ids"])
    texts = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    return [
        token
        for token, text in enumerate(texts)
        if token not in used and not any(re.fullmatch(shape, text) for shape in NUMBER_SHAPES)
    ]
