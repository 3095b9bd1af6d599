"""GRPO with the loss on the moves only, because the reward does not depend on the reasoning."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from trl import GRPOTrainer

OPENING = "<CONTROLS>"


class MoveTrainer(GRPOTrainer):
    """TRL's trainer with the tokens before the moves left out of the loss."""

    def __init__(self, *, moves_only: bool, **arguments: Any) -> None:
        """`moves_only=False` is TRL's own loss over whole answers."""
        super().__init__(**arguments)
        self._moves_only = moves_only

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self._moves_only:
            # TRL multiplies the loss by this mask, which it introduced for the outputs of tools.
            output["tool_mask"] = move_mask(output["completion_ids"], self.processing_class.decode)
        return output


def move_mask(
    completions: Int[torch.Tensor, "B T"], decode: Callable[[Sequence[int]], str]
) -> Int[torch.Tensor, "B T"]:
    """Return 1 for the tokens after the opening tag of the moves, and for all tokens of answers without one."""
    mask = torch.ones_like(completions)
    for row, ids in zip(mask, completions.tolist(), strict=True):
        row[: _opening_length(ids, decode)] = 0
    return mask


def _opening_length(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int:
    """Return the number of leading tokens that contain the opening tag; 0 if there is none."""
    if OPENING not in decode(ids):
        return 0
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if OPENING in decode(ids[:middle]) else (middle + 1, high)
    return low
