"""Columns of a dataset."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 3

Kind = Literal["initial", "visited"]
KINDS: tuple[Kind, ...] = ("initial", "visited")


@dataclass(frozen=True, slots=True)
class Row:
    """One state and the expert's moves for it.

    Attributes:
        row_id: unique within the dataset.
        system: full name.
        kind: `initial`, drawn from the initial set, or `visited`, drawn near an optimal trajectory.
        trajectory_id: numbered per system; rows of one trajectory stay in one split.
        state: (n_x,), SI units, rounded exactly as in the prompt.
        moves: the expert's moves, (M, n_u).
        controls: the expert's controls with one move per step, (N, n_u).
        feedback: control of the unconstrained linear-quadratic regulator, (n_u,).
        cost: simulated cost J of the moves.
        optimal_cost: optimal cost J* with one move per step.
        expert: the expert that computed the moves.
        solver, stationarity, gap, violation, complementarity, duality_gap: worst values over the certificates of the
            row, see `setpoint.controllers.certificate`.
    """

    row_id: int
    system: str
    kind: Kind
    trajectory_id: int
    state: tuple[float, ...]
    moves: tuple[tuple[float, ...], ...]
    controls: tuple[tuple[float, ...], ...]
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
    """Return the Parquet schema of `Row`."""
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
        "controls": pa.list_(vector),
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
    """Write `rows` to the Parquet file `path`."""
    import pyarrow as pa
    from pyarrow import parquet

    stamped = [{"schema_version": SCHEMA_VERSION, **asdict(row)} for row in rows]
    parquet.write_table(pa.Table.from_pylist(stamped, schema=row_schema()), path)
