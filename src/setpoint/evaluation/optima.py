"""Certified optima of the cases of a suite: the reference for every controller, solved once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from setpoint.controllers.optimal import OptimalController
from setpoint.errors import InputError
from setpoint.problems import MoveBlocking, Problem

OPTIMA = "optima.parquet"
SCHEMA_VERSION = 1
_REJECTED = b"rejected"


@dataclass(frozen=True)
class Optima:
    """Cases of one system with their optimal costs.

    Attributes:
        states: initial states, (C, n_x).
        costs: J* with one move per step, (C,).
        blocked_costs: J* with the answer's move blocking, (C,).
        rejected: number of requested states without a certified optimum.
    """

    states: Float[np.ndarray, "C n_x"]
    costs: Float[np.ndarray, " C"]
    blocked_costs: Float[np.ndarray, " C"]
    rejected: int = 0

    def __len__(self) -> int:
        """Number of cases C."""
        return len(self.states)


def solve_optima(
    problem: Problem, states: Float[np.ndarray, "C n_x"], blocking: MoveBlocking, optimum: OptimalController
) -> Optima:
    """Solve the cases that start in `states`; `optimum` caches their plans.

    States without a certified optimum, usually because no control satisfies the bounds, are excluded and counted.

    Raises:
        InputError: no state has a certified optimum.
    """
    blocked = OptimalController(problem, blocking)
    found = [(x, one.cost, other.cost) for x in states if (one := optimum.find(x)) and (other := blocked.find(x))]
    if not found:
        raise InputError(
            f"{problem.name}: none of {len(states)} initial states has a certified optimum, most likely because no "
            "control satisfies the bounds. Use other initial states, wider bounds or a longer horizon."
        )
    kept, costs, blocked_costs = (np.array(column) for column in zip(*found, strict=True))
    return Optima(kept, costs, blocked_costs, rejected=len(states) - len(found))


def write_optima(path: Path, optima: Optima) -> None:
    """Write one row per case to the Parquet file `path`."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "schema_version": pa.array([SCHEMA_VERSION] * len(optima), pa.int8()),
        "case_id": pa.array(range(len(optima)), pa.int32()),
        "state": pa.array(optima.states.tolist(), pa.list_(pa.float64())),
        "optimal_cost": pa.array(optima.costs),
        "blocked_optimal_cost": pa.array(optima.blocked_costs),
    }
    table = pa.table(columns).replace_schema_metadata({_REJECTED: str(optima.rejected)})
    parquet.write_table(table, path)


def read_optima(path: Path) -> Optima:
    """Read the optima of a file written by `write_optima`.

    Raises:
        InputError: the file cannot be read or has another schema version.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, partitioning=None)
        columns = table.to_pydict()
        versions = set(columns["schema_version"])
        found = Optima(
            states=np.array(columns["state"], dtype=float),
            costs=np.array(columns["optimal_cost"], dtype=float),
            blocked_costs=np.array(columns["blocked_optimal_cost"], dtype=float),
            rejected=int((table.schema.metadata or {}).get(_REJECTED, 0)),
        )
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise InputError(f"{str(path)!r} must be a Parquet file of optima, but cannot be read: {error}") from error
    if versions != {SCHEMA_VERSION}:
        raise InputError(f"{str(path)!r} must have schema version {SCHEMA_VERSION}, got {sorted(versions)}.")
    return found
