"""The columns of a data set."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 2

Kind = Literal["initial", "visited"]
KINDS: tuple[Kind, ...] = ("initial", "visited")


@dataclass(frozen=True, slots=True)
class Row:
    """One state and an expert's answer to it.

    Attributes:
        row_id: unique within the data set.
        system: full name.
        kind: `initial`, drawn from the initial set, or `visited`, drawn near an optimal trajectory.
        trajectory_id: rows with the same one stay in one split; counted per system.
        state: SI units, (n_x,), exactly as a prompt states it.
        moves: the expert's answer, (M, n_u).
        feedback: what the linear-quadratic regulator would apply without bounds, (n_u,).
        cost: J of the moves in the simulator.
        optimal_cost: J* with one move per step.
        expert: who gave the moves.
        solver, stationarity, gap, violation, complementarity, duality_gap: the worst of the certificates behind the
            row, see `setpoint.controllers.certificate`.
    """

    row_id: int
    system: str
    kind: Kind
    trajectory_id: int
    state: tuple[float, ...]
    moves: tuple[tuple[float, ...], ...]
    feedback: tuple[float, ...]
    cost: float
    optimal_cost: float
    expert: str
    solver: str
    stationarity: float
    gap: float
    violation: float
    complementarity: float
    duality_gap: float | None


@cache
def row_schema() -> "pa.Schema":
    """The Parquet schema of `Row`."""
    import pyarrow as pa

    vector, number, text = pa.list_(pa.float64()), pa.float64(), pa.string()
    columns = {
        "schema_version": pa.int8(),
        "row_id": pa.int64(),
        "system": text,
        "kind": text,
        "trajectory_id": pa.int64(),
        "state": vector,
        "moves": pa.list_(vector),
        "feedback": vector,
        "cost": number,
        "optimal_cost": number,
        "expert": text,
        "solver": text,
        "stationarity": number,
        "gap": number,
        "violation": number,
        "complementarity": number,
        "duality_gap": number,
    }
    return pa.schema([pa.field(name, kind, nullable=name == "duality_gap") for name, kind in columns.items()])


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a split to the Parquet file `path`."""
    import pyarrow as pa
    from pyarrow import parquet

    stamped = [{"schema_version": SCHEMA_VERSION, **asdict(row)} for row in rows]
    parquet.write_table(pa.Table.from_pylist(stamped, schema=row_schema()), path)
