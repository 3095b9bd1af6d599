"""Evaluation results as Parquet files with a fixed schema: one row per episode, and the leading trajectories.

pyarrow is imported when a file is read or written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.errors import InputError
from setpoint.regular_files import read_regular
from setpoint.trajectory import Termination

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SCHEMA_VERSION = 1

EPISODES = "episodes.parquet"
TRAJECTORIES = "trajectories.parquet"


def condition_folder(stage: Path, condition: str) -> Path:
    """Return the folder with the episodes of an off-nominal condition."""
    return stage / "conditions" / condition


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """Result of one controller from one initial state. Failed episodes are rows, too; nothing is dropped.

    Attributes:
        case_id: index of the initial state in its suite.
        controller: `llm`, `optimum`, `lqr` or `zero`.
        mode: `open_loop`, or `replan_<steps>`.
        replan_interval: grid steps between plans; 0 in open loop.
        initial_state: SI units, (n_x,).
        final_state: SI units, (n_x,).
        parsed: whether every answer could be parsed; unparsable ones are simulated as zero control.
        final_error: L2 norm of the final state minus the target.
        normalised_error: infinity norm of that difference over the half width of the initial set.
        control_cost: J of the applied controls.
        optimal_cost: J* without move blocking.
        blocked_optimal_cost: J* with the move blocking of the answer.
        regret: J/J* − 1.
        violation_max: largest bound violation, as a share of half the bound's range.
        violation_count: number of steps with a violation above the tolerance.
        success: parsed, no violation, normalised error at most 0.05.
        success_loose: the same with 0.1.
        tokens: generated tokens over all answers.
        plans: number of requested answers.
        plans_parsed: number of answers that could be parsed.
    """

    case_id: int
    system: str
    controller: str
    mode: str
    replan_interval: int
    initial_state: tuple[float, ...]
    final_state: tuple[float, ...]
    termination: Termination
    parsed: bool
    final_error: float
    normalised_error: float
    control_cost: float
    optimal_cost: float
    blocked_optimal_cost: float
    regret: float
    violation_max: float
    violation_count: int
    success: bool
    success_loose: bool
    tokens: int
    plans: int
    plans_parsed: int


@dataclass(frozen=True, slots=True)
class EpisodeTrajectory:
    """Simulated trajectory of one episode.

    Attributes:
        dt_s: grid interval in seconds.
        states: (N+1, n_x) nested tuples, SI units.
        controls: applied controls, (N, n_u) nested tuples, SI units.
    """

    case_id: int
    system: str
    controller: str
    mode: str
    dt_s: float
    states: tuple[tuple[float, ...], ...]
    controls: tuple[tuple[float, ...], ...]


@cache
def episode_schema() -> "pa.Schema":
    """Return the schema of an episodes file."""
    import pyarrow as pa

    vector = pa.list_(pa.float64())
    return pa.schema(
        [
            pa.field("schema_version", pa.int8(), nullable=False),
            pa.field("case_id", pa.int32(), nullable=False),
            pa.field("system", pa.string(), nullable=False),
            pa.field("controller", pa.string(), nullable=False),
            pa.field("mode", pa.string(), nullable=False),
            pa.field("replan_interval", pa.int32(), nullable=False),
            pa.field("initial_state", vector, nullable=False),
            pa.field("final_state", vector, nullable=False),
            pa.field("termination", pa.string(), nullable=False),
            pa.field("parsed", pa.bool_(), nullable=False),
            pa.field("final_error", pa.float64(), nullable=False),
            pa.field("normalised_error", pa.float64(), nullable=False),
            pa.field("control_cost", pa.float64(), nullable=False),
            pa.field("optimal_cost", pa.float64(), nullable=False),
            pa.field("blocked_optimal_cost", pa.float64(), nullable=False),
            pa.field("regret", pa.float64(), nullable=False),
            pa.field("violation_max", pa.float64(), nullable=False),
            pa.field("violation_count", pa.int32(), nullable=False),
            pa.field("success", pa.bool_(), nullable=False),
            pa.field("success_loose", pa.bool_(), nullable=False),
            pa.field("tokens", pa.int32(), nullable=False),
            pa.field("plans", pa.int32(), nullable=False),
            pa.field("plans_parsed", pa.int32(), nullable=False),
        ]
    )


@cache
def trajectory_schema() -> "pa.Schema":
    """Return the schema of a trajectories file."""
    import pyarrow as pa

    matrix = pa.list_(pa.list_(pa.float64()))
    return pa.schema(
        [
            pa.field("schema_version", pa.int8(), nullable=False),
            pa.field("case_id", pa.int32(), nullable=False),
            pa.field("system", pa.string(), nullable=False),
            pa.field("controller", pa.string(), nullable=False),
            pa.field("mode", pa.string(), nullable=False),
            pa.field("dt_s", pa.float64(), nullable=False),
            pa.field("states", matrix, nullable=False),
            pa.field("controls", matrix, nullable=False),
        ]
    )


def write_episodes(path: Path, episodes: Sequence[EpisodeResult]) -> None:
    """Write `episodes` to the Parquet file `path`. The caller is responsible for publishing it atomically."""
    _write(path, [asdict(episode) for episode in episodes], episode_schema())


def read_episodes(path: Path) -> list[EpisodeResult]:
    """Read the episodes of a file written by `write_episodes`.

    Raises:
        InputError: the file is not readable Parquet, has another schema version or lacks columns.
    """
    return [
        EpisodeResult(
            **{
                **row,
                "initial_state": tuple(row["initial_state"]),
                "final_state": tuple(row["final_state"]),
                "termination": Termination(row["termination"]),
            }
        )
        for row in _read_table(path, episode_schema().names[1:]).to_pylist()
    ]


@dataclass(frozen=True, slots=True)
class EpisodeColumns:
    """Columns of an episodes file that metrics are computed from, one entry per episode."""

    case_id: "np.ndarray"
    system: "np.ndarray"
    controller: "np.ndarray"
    mode: "np.ndarray"
    parsed: "np.ndarray"
    final_error: "np.ndarray"
    normalised_error: "np.ndarray"
    control_cost: "np.ndarray"
    regret: "np.ndarray"
    success: "np.ndarray"
    success_loose: "np.ndarray"
    tokens: "np.ndarray"

    def where(self, chosen: "np.ndarray | slice") -> "EpisodeColumns":
        """Select episodes by a slice or a boolean array."""
        if not isinstance(chosen, slice) and chosen.all():
            return self
        return EpisodeColumns(**{column.name: getattr(self, column.name)[chosen] for column in fields(self)})


def read_episode_columns(path: Path) -> EpisodeColumns:
    """Read the columns of an episodes file.

    Raises:
        InputError: as for `read_episodes`.
    """
    return _to_columns(_read_table(path, _column_names()))


@dataclass(frozen=True, slots=True)
class ManyEpisodes:
    """Concatenated columns of many episodes files.

    Attributes:
        columns: columns of all readable files; None if there are none.
        rows: file -> number of its episodes, in the order of `columns`.
    """

    columns: EpisodeColumns | None
    rows: Mapping[str, int]

    def by_file(self) -> Iterator[tuple[str, EpisodeColumns]]:
        """Yield each file with its columns."""
        start = 0
        for path, count in self.rows.items():
            assert self.columns is not None
            yield path, self.columns.where(slice(start, start + count))
            start += count


def read_many_episode_columns(paths: Sequence[str]) -> ManyEpisodes:
    """Read the columns of many files at once, in half the time of separate reads; unreadable files are skipped."""
    import pyarrow as pa

    tables, names = {}, _column_names()
    for path in paths:
        with suppress(InputError):
            tables[path] = _read_table(Path(path), names)
    columns = _to_columns(pa.concat_tables(tables.values())) if tables else None
    return ManyEpisodes(columns, {path: table.num_rows for path, table in tables.items()})


def _column_names() -> list[str]:
    return [column.name for column in fields(EpisodeColumns)]


def _read_table(path: Path, names: Sequence[str]) -> "pa.Table":
    """Read the columns `names` after checking the schema."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Read the file once: pyarrow's reader seeks several times, which is slow for thousands of files, and
        # `parquet.read_table` imports pandas.
        whole = pa.BufferReader(read_regular(path))
        table = parquet.ParquetFile(whole).read(columns=["schema_version", *names], use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} must be a Parquet file, but cannot be read: {error}") from error
    _check(path, table, names)
    return table.select(names)


def _to_columns(table: "pa.Table") -> EpisodeColumns:
    return EpisodeColumns(**{name: _to_numpy(table.column(name).combine_chunks()) for name in table.column_names})


def _to_numpy(array: "pa.Array") -> "np.ndarray":
    """Convert an array without nulls. `Array.to_numpy` would import pandas, which is slow."""
    import numpy as np
    import pyarrow as pa

    found: np.ndarray
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        found = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)[np.from_dlpack(encoded.indices)]
    elif pa.types.is_boolean(array.type):
        found = np.from_dlpack(array.cast(pa.uint8())).view(np.bool_)
    else:
        found = np.from_dlpack(array)
    return found


def write_trajectories(path: Path, trajectories: Sequence[EpisodeTrajectory]) -> None:
    """Write `trajectories` to the Parquet file `path`."""
    _write(path, [asdict(trajectory) for trajectory in trajectories], trajectory_schema())


def read_trajectories(path: Path) -> list[EpisodeTrajectory]:
    """Read the trajectories of a file written by `write_trajectories`.

    Raises:
        InputError: as for `read_episodes`.
    """
    return [
        EpisodeTrajectory(**{**row, "states": _matrix(row["states"]), "controls": _matrix(row["controls"])})
        for row in _read_table(path, trajectory_schema().names[1:]).to_pylist()
    ]


def _matrix(rows: list[list[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _write(path: Path, rows: list[dict[str, Any]], schema: "pa.Schema") -> None:
    import pyarrow as pa
    from pyarrow import parquet

    stamped = [{"schema_version": SCHEMA_VERSION, **row} for row in rows]
    parquet.write_table(pa.Table.from_pylist(stamped, schema=schema), path)


def _check(path: Path, table: "pa.Table", names: Sequence[str]) -> None:
    """Check that a table has all of `names` and the current schema version."""
    present = set(table.column_names)
    missing = [name for name in ("schema_version", *names) if name not in present]
    if missing:
        raise InputError(f"{path} must have the columns of schema {SCHEMA_VERSION}, but lacks {', '.join(missing)}.")
    versions = set(table.column("schema_version").to_pylist())
    if versions - {SCHEMA_VERSION}:
        raise InputError(
            f"{path} must have schema version {SCHEMA_VERSION}, got {sorted(versions)}. "
            "Evaluate again with this version of setpoint, or read the file with the version that wrote it."
        )
