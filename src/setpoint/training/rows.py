"""Training data from datasets: examples by system, their order, and chats."""

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
from setpoint.problems import MoveBlocking
from setpoint.seeding import generator


@dataclass(frozen=True)
class Example:
    """One demonstration.

    Attributes:
        system: name of the plant.
        state: initial state, (n_x,).
        moves: the expert's moves with the blocking of the dataset, (M, n_u).
        controls: the expert's controls with one move per step, (N, n_u).
        blocking: the blocking of `moves`.
        feedback: control of the unconstrained linear-quadratic regulator in `state`, (n_u,).
        optimal_cost: optimal cost J* with one move per step.
    """

    system: str
    state: Float[np.ndarray, " n_x"]
    moves: Float[np.ndarray, "M n_u"]
    controls: Float[np.ndarray, "N n_u"]
    blocking: MoveBlocking
    feedback: Float[np.ndarray, " n_u"]
    optimal_cost: float

    def prompt(self, prompt_format: PromptFormat) -> list[Message]:
        """Return the chat messages of the prompt."""
        return messages(problems.get(self.system), self.state.tolist(), prompt_format)

    def answer(self, prompt_format: PromptFormat) -> str:
        """Return the text of the expert's answer."""
        moves = self.answered(prompt_format.blocking)
        return compose_answer(problems.get(self.system), self.state, moves, self.feedback, prompt_format)

    def answered(self, blocking: MoveBlocking) -> Float[np.ndarray, "K n_u"]:
        """Return the expert's moves with another blocking, which may cover the first steps only.

        Moves of the dataset's own blocking are those of its optimum; others are means of the optimal controls.
        """
        if blocking.lengths == self.blocking.lengths[: blocking.moves]:
            return self.moves[: blocking.moves]
        return blocking.average(self.controls[: blocking.steps])


Examples = dict[str, list[Example]]
"""Examples by system."""


def load_examples(workspace: Workspace, config: Mapping[str, Any], split: Split) -> Examples:
    """Load the rows of `split` for each system of a stage; datasets and systems are matched by position.

    Raises:
        InputError: a dataset is missing, damaged or does not contain its system.
        StageError: a dataset differs from the one the stage was planned with.
    """
    found: Examples = {}
    for system, source in zip(config["systems"], config["datasets"], strict=True):
        info = _planned_dataset(workspace, source)
        rows = load_rows(info, split, system)
        columns = zip(rows.states, rows.moves, rows.controls, rows.feedback, rows.optimal_costs.tolist(), strict=True)
        found[system] = [
            Example(system, state, moves, controls, info.blocking, feedback, cost)
            for state, moves, controls, feedback, cost in columns
        ]
        if not found[system]:
            raise InputError(f"dataset {source['name']!r} has no {split} rows of {system!r}. Generate a larger one.")
    return found


def dataset_infos(workspace: Workspace, config: Mapping[str, Any]) -> dict[str, DatasetInfo]:
    """Return system -> its dataset.

    Raises:
        InputError: a dataset is missing or damaged.
        StageError: a dataset differs from the one the stage was planned with.
    """
    pairs = zip(config["systems"], config["datasets"], strict=True)
    return {system: _planned_dataset(workspace, source) for system, source in pairs}


def _planned_dataset(workspace: Workspace, source: Mapping[str, str]) -> DatasetInfo:
    path = workspace.datasets / source["name"]
    if not path.is_dir():
        raise InputError(
            f"there is no dataset {source['name']!r} in {str(workspace.datasets)!r}. Plan the experiment again "
            "to generate it."
        )
    info = read_info(path)
    if info.digest != source["digest"]:
        raise StageError(
            "data",
            f"dataset {source['name']!r} differs from the one this stage was planned with",
            evidence={"planned": source["digest"], "found": info.digest},
            suggestion="plan the experiment again, or restore the dataset",
        )
    return info


def schedule(examples: Mapping[str, Sequence[Example]], count: int, *seed: str | int) -> list[Example]:
    """Return the `count` examples of a complete training run, in training order.

    Systems alternate, so that each has an equal share of every batch; rows are reshuffled for each pass over a system.
    Trainers read the list sequentially, which makes resuming exact.
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
