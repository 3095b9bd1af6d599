"""From data sets to what trainers read: rows by system, the order in which they are seen, chats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from jaxtyping import Float

from setpoint import problems
from setpoint.artifacts import Workspace, read_json
from setpoint.errors import InputError, StageError
from setpoint.language import Dialect, Message, compose_answer, messages
from setpoint.seeding import generator

_COLUMNS = ("system", "state", "moves", "feedback", "optimal_cost")


@dataclass(frozen=True)
class Row:
    """One demonstration.

    Attributes:
        system: name of the plant.
        state: where it starts, n_x numbers.
        moves: of the optimum in the data set's blocking, (M, n_u).
        feedback: what the linear-quadratic regulator would apply, n_u numbers.
        optimal_cost: J* with one move per step.
    """

    system: str
    state: list[float]
    moves: Float[np.ndarray, "M n_u"]
    feedback: list[float]
    optimal_cost: float

    def prompt(self, dialect: Dialect) -> list[Message]:
        """The chat that asks for controls."""
        return messages(problems.get(self.system), self.state, dialect)

    def answer(self, dialect: Dialect) -> list[Message]:
        """The chat message that gives the optimal ones."""
        problem = problems.get(self.system)
        text = compose_answer(problem, np.array(self.state), self.moves, np.array(self.feedback), dialect)
        return [{"role": "assistant", "content": text}]


def load_rows(workspace: Workspace, config: Mapping[str, Any], split: str) -> dict[str, list[Row]]:
    """The rows of `split` for every system of a stage's configuration.

    Data sets go by position with the systems; a single one holds them all.

    Raises:
        InputError: a data set is not there or holds no rows of a system.
        StageError: a data set is not the one that the stage was planned with.
    """
    systems, datasets = config["systems"], config["datasets"]
    if len(datasets) not in (1, len(systems)):
        raise InputError(f"{len(systems)} systems need one data set or as many, but there are {len(datasets)}")
    sources = datasets * len(systems) if len(datasets) == 1 else datasets
    found = {}
    for system, source in zip(systems, sources, strict=True):
        folder = _checked_folder(workspace, source)
        table = pyarrow.parquet.read_table(
            folder / f"{split}.parquet", columns=list(_COLUMNS), filters=[("system", "=", system)]
        )
        if not table.num_rows:
            raise InputError(f"data set {source['name']!r} has no {split} rows of {system!r}; make one with both")
        found[system] = [_row(record) for record in table.to_pylist()]
    return found


def _checked_folder(workspace: Workspace, source: Mapping[str, str]) -> Path:
    folder = workspace.datasets / source["name"]
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict):
        raise InputError(f"data set {source['name']!r} is not in {str(workspace.datasets)!r}; `setpoint data` makes it")
    if manifest.get("digest") != source["digest"]:
        raise StageError(
            "data",
            f"data set {source['name']!r} has changed since this stage was planned",
            evidence={"planned": source["digest"], "found": manifest.get("digest")},
            suggestion="plan the experiment again, or restore the data set",
        )
    return folder


def _row(record: Mapping[str, Any]) -> Row:
    return Row(
        system=record["system"],
        state=record["state"],
        moves=np.array(record["moves"], dtype=float),
        feedback=record["feedback"],
        optimal_cost=record["optimal_cost"],
    )


def schedule(rows: Mapping[str, Sequence[Row]], count: int, *seed: str | int) -> list[Row]:
    """The `count` rows of a whole training run in the order in which they are seen.

    Systems take turns, so that each has the same share of every batch; each pass over a system's rows is shuffled anew.
    The order is all in this list: trainers read it from front to back, which is what makes resuming exact.
    """
    turns = list(rows)
    streams = {system: _passes(rows[system], -(-count // len(turns)), *seed, system) for system in turns}
    return [streams[turns[place % len(turns)]][place // len(turns)] for place in range(count)]


def _passes(rows: Sequence[Row], count: int, *seed: str | int) -> list[Row]:
    random = generator("order", *seed)
    order: list[int] = []
    while len(order) < count:
        order += random.permutation(len(rows)).tolist()
    return [rows[index] for index in order[:count]]
