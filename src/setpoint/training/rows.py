"""From data sets to what trainers read: examples by system, the order in which they are seen, chats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.artifacts import Workspace
from setpoint.demonstrations import Split, load_rows
from setpoint.demonstrations.dataset import DatasetInfo, read_info
from setpoint.errors import InputError, StageError
from setpoint.language import Message, PromptFormat, compose_answer, messages
from setpoint.seeding import generator


@dataclass(frozen=True)
class Example:
    """One demonstration.

    Attributes:
        system: name of the plant.
        state: where it starts, (n_x,).
        moves: the expert's, (M, n_u).
        feedback: what the linear-quadratic regulator would apply now, (n_u,).
        optimal_cost: J* with one move per step.
    """

    system: str
    state: Float[np.ndarray, " n_x"]
    moves: Float[np.ndarray, "M n_u"]
    feedback: Float[np.ndarray, " n_u"]
    optimal_cost: float

    def prompt(self, prompt_format: PromptFormat) -> list[Message]:
        """The chat that asks for controls."""
        return messages(problems.get(self.system), self.state.tolist(), prompt_format)

    def answer(self, prompt_format: PromptFormat) -> list[Message]:
        """The chat message that gives the expert's."""
        text = compose_answer(problems.get(self.system), self.state, self.moves, self.feedback, prompt_format)
        return [{"role": "assistant", "content": text}]


Examples = dict[str, list[Example]]
"""By system."""


def load_examples(workspace: Workspace, config: Mapping[str, Any], split: Split) -> Examples:
    """The rows of `split` for every system of a stage's configuration; its data sets go by position with its systems.

    Raises:
        InputError: a data set is not there, was damaged, or does not hold its system.
        StageError: a data set is not the one that the stage was planned with.
    """
    blocks = tuple(config["dialect"]["blocks"])
    found: Examples = {}
    for system, source in zip(config["systems"], config["datasets"], strict=True):
        rows = load_rows(_planned_dataset(workspace, source, blocks), split, system)
        columns = (rows.states, rows.moves, rows.feedback, rows.optimal_costs.tolist())
        found[system] = [Example(system, *values) for values in zip(*columns, strict=True)]
        if not found[system]:
            raise InputError(f"data set {source['name']!r} has no {split} rows of {system!r}. Make a larger one.")
    return found


def _planned_dataset(workspace: Workspace, source: Mapping[str, str], blocks: tuple[int, ...]) -> DatasetInfo:
    path = workspace.datasets / source["name"]
    if not path.is_dir():
        raise InputError(
            f"there is no data set {source['name']!r} in {str(workspace.datasets)!r}. Plan again to make it."
        )
    info = read_info(path)
    if info.digest != source["digest"] or info.blocking.lengths != blocks:
        raise StageError(
            "data",
            f"data set {source['name']!r} is not the one that this stage was planned with",
            evidence={
                "planned": {"digest": source["digest"], "blocks": list(blocks)},
                "found": {"digest": info.digest, "blocks": list(info.blocking.lengths)},
            },
            suggestion="plan the experiment again, or restore the data set",
        )
    return info


def schedule(examples: Mapping[str, Sequence[Example]], count: int, *seed: str | int) -> list[Example]:
    """The `count` examples of a whole training run in the order in which they are seen.

    Systems take turns, so that each has the same share of every batch; each pass over a system's rows is shuffled anew.
    The order is all in this list: trainers read it from front to back, which is what makes resuming exact.
    """
    turns = list(examples)
    streams = {system: _passes(examples[system], -(-count // len(turns)), *seed, system) for system in turns}
    return [streams[turns[place % len(turns)]][place // len(turns)] for place in range(count)]


def _passes(examples: Sequence[Example], count: int, *seed: str | int) -> list[Example]:
    random = generator("order", *seed)
    order: list[int] = []
    while len(order) < count:
        order += random.permutation(len(examples)).tolist()
    return [examples[index] for index in order[:count]]
