"""Packs of rows of one plant: the prompt up to the state is encoded once and shared by several rows.

Every row attends to the shared prefix and to itself only, and its positions continue those of the prefix, so each row
gets exactly the logits that it would get alone. Sharing makes long equations affordable.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from setpoint.pretraining.corpus import TextRow
from setpoint.pretraining.tokenizer import END

LONGEST = 448
"""Largest number of tokens of a pack with more than one row."""
PREFIX, PADDING = 0, -1
"""Segments of shared tokens and of padding; rows are numbered from 1."""
_WINDOW = 64
"""Batches among which packs are sorted by length, so that little is padded."""


@dataclass(frozen=True)
class Pack:
    """Tokens of one pack: ids, segment and position of each, and whether it belongs to an answer, all (T,)."""

    ids: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    answers: np.ndarray

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """Padded packs as tensors, (B, T): see `Pack`."""

    ids: torch.Tensor
    segments: torch.Tensor
    positions: torch.Tensor
    answers: torch.Tensor

    @property
    def attention(self) -> torch.Tensor:
        """Which keys a query may see, (B, 1, T, T): the prefix and the earlier tokens of its own row."""
        of_query, of_key = self.segments[:, :, None], self.segments[:, None, :]
        order = torch.ones(self.ids.shape[1], self.ids.shape[1], dtype=torch.bool).tril()
        return (((of_key == of_query) | (of_key == PREFIX)) & order)[:, None]


def pack_rows(tokenizer: Any, rows: Sequence[TextRow]) -> list[Pack]:
    """Encode consecutive rows of each plant as packs."""
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row.prompt}], add_generation_prompt=True, tokenize=False
        )
        for row in rows
    ]
    prompt_ids = tokenizer(prompts)["input_ids"]
    answer_ids = tokenizer([row.answer + END + "\n" for row in rows])["input_ids"]
    found: list[Pack] = []
    for _, of_plant in groupby(range(len(rows)), key=lambda row: rows[row].plant):
        members = list(of_plant)
        shared = _shared_length([prompt_ids[row] for row in members])
        while members:
            longest = max(len(prompt_ids[row]) + len(answer_ids[row]) - shared for row in members)
            count = max(1, (LONGEST - shared) // longest)
            found.append(_pack([(prompt_ids[row], answer_ids[row]) for row in members[:count]], shared))
            members = members[count:]
    return found


def batches(packs: Sequence[Pack], size: int, seed: int, skip: int = 0) -> Iterator[Batch]:
    """Yield shuffled batches of `size` packs of similar lengths endlessly, from batch `skip` on."""
    number = 0
    for epoch in range(10**9):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(packs))
        whole = order[: len(order) - len(order) % size]
        for start in range(0, len(whole), size * _WINDOW):
            window = sorted(whole[start : start + size * _WINDOW].tolist(), key=lambda k: len(packs[k]))
            for place in rng.permutation(len(window) // size):
                if number >= skip:
                    yield collate([packs[k] for k in window[place * size : (place + 1) * size]])
                number += 1


def collate(packs: Sequence[Pack]) -> Batch:
    """Pad packs on the right."""
    width = max(map(len, packs))

    def padded(name: str, filler: int) -> torch.Tensor:
        rows = np.full((len(packs), width), filler, dtype=np.int64)
        for row, pack in zip(rows, packs, strict=True):
            row[: len(pack)] = getattr(pack, name)
        return torch.from_numpy(rows)

    return Batch(padded("ids", 0), padded("segments", PADDING), padded("positions", 0), padded("answers", 0).bool())


def _shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return the length of the common prefix, always shorter than every prompt."""
    shortest = min(map(len, prompts)) - 1
    if len(prompts) == 1:
        return shortest
    return next(
        (k for k, column in enumerate(zip(*(p[:shortest] for p in prompts), strict=True)) if len(set(column)) > 1),
        shortest,
    )


def _pack(rows: Sequence[tuple[list[int], list[int]]], shared: int) -> Pack:
    ids, segments = [*rows[0][0][:shared]], [PREFIX] * shared
    positions, answers = list(range(shared)), [0] * shared
    for number, (prompt, answer) in enumerate(rows, start=1):
        own = [*prompt[shared:], *answer]
        ids += own
        segments += [number] * len(own)
        positions += range(shared, shared + len(own))
        answers += [0] * (len(prompt) - shared) + [1] * len(answer)
    return Pack(*(np.array(part, dtype=np.int16) for part in (ids, segments, positions, answers)))
