"""Datasets on disk: one Parquet file per split, plus a manifest that describes them.

datasets/<name>/train.parquet validation.parquet test.parquet
datasets/<name>/manifest.json     written last; the folder is renamed into place once complete
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from setpoint import problems
from setpoint.artifacts import (
    DamagedError,
    Fields,
    PublishedFile,
    Workspace,
    is_identifier,
    read_json,
    temporary_path,
    write_json,
)
from setpoint.artifacts.atomic import sync_file, sync_folder
from setpoint.demonstrations import names
from setpoint.demonstrations.generate import GeneratedRows
from setpoint.demonstrations.recipe import EXPERTS, SPLITS, Expert, Recipe, Split
from setpoint.demonstrations.schema import SCHEMA_VERSION, Row, row_schema, write_rows
from setpoint.errors import InputError
from setpoint.fingerprint import digest, file_digest
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.provenance import package_versions

_MANIFEST = "manifest.json"
_WORST = ("stationarity", "gap", "violation", "complementarity")


@dataclass(frozen=True)
class DatasetInfo:
    """Contents of a dataset's manifest.

    Attributes:
        name: name of its folder.
        path: the folder.
        systems: full names.
        rows: split -> system -> number of rows.
        digest: digest of the recipe and the rows.
        expert: the expert that computed the moves.
        blocking: move blocking of the rows.
        rejection_rate: system -> share of draws rejected for lack of a certified optimum.
        recipe: the recipe, as `Recipe.definition` gives it.
        certificate: worst value of every optimality condition, and the agreement of two solvers.
        files: name -> digest and size.
    """

    name: str
    path: Path
    systems: tuple[str, ...]
    rows: Mapping[Split, Mapping[str, int]]
    digest: str
    expert: Expert
    blocking: MoveBlocking
    rejection_rate: Mapping[str, float]
    recipe: Mapping[str, Any]
    certificate: Mapping[str, Any]
    files: Mapping[str, PublishedFile]

    @property
    def total_rows(self) -> int:
        """Number of rows over all systems and splits."""
        return sum(sum(by_system.values()) for by_system in self.rows.values())


@dataclass(frozen=True)
class Rows:
    """Rows of one system and split, as arrays; attributes as in `setpoint.demonstrations.schema.Row`."""

    row_ids: Int[np.ndarray, " R"]
    trajectory_ids: Int[np.ndarray, " R"]
    kinds: tuple[str, ...]
    states: Float[np.ndarray, "R n_x"]
    moves: Float[np.ndarray, "R M n_u"]
    controls: Float[np.ndarray, "R N n_u"]
    feedback: Float[np.ndarray, "R n_u"]
    costs: Float[np.ndarray, " R"]
    optimal_costs: Float[np.ndarray, " R"]

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.row_ids)


def open_dataset(workspace: Workspace, name: str, blocking: MoveBlocking = COARSE_TO_FINE) -> DatasetInfo:
    """Return the dataset `name`; for names derived from systems, the one with this move blocking.

    Raises:
        InputError: it does not exist (the message gives the command that generates it), or its manifest is unreadable.
    """
    parsed = names.parse(name)
    path = workspace.datasets / parsed.folder(blocking)
    if not path.is_dir():
        known = [info.name for info in list_datasets(workspace)]
        raise InputError(
            f"there is no dataset {name!r} in {str(workspace.datasets)!r}"
            f"{' (existing: ' + ', '.join(known) + ')' if known else ''}. Generate it with: {parsed.command()}"
        )
    return read_info(path)


def list_datasets(workspace: Workspace, damaged: Callable[[InputError], None] = lambda _: None) -> list[DatasetInfo]:
    """Return every dataset of the workspace, sorted by name.

    Args:
        damaged: called with the error of a folder whose manifest cannot be used; it is skipped.
    """
    found = []
    for manifest in sorted(workspace.datasets.glob(f"[!.]*/{_MANIFEST}")):
        try:
            found.append(read_info(manifest.parent))
        except InputError as error:
            damaged(error)
    return found


def read_info(path: Path) -> DatasetInfo:
    """Return the dataset in the folder `path`.

    Raises:
        InputError: the manifest is missing, damaged or of another schema version.
    """
    file = path / _MANIFEST
    try:
        fields = Fields(read_json(file), file)
        schema = fields.whole("schema")
        if schema != SCHEMA_VERSION:
            raise DamagedError(f"dataset {str(path)!r} has schema {schema}, but this version reads {SCHEMA_VERSION}.")
        return _info(path, fields)
    except InputError as error:
        raise DamagedError(f"{error} Delete the folder and regenerate the data.") from error


def _info(path: Path, fields: Fields) -> DatasetInfo:
    recipe, rows, rates, files = (fields.inner(name) for name in ("recipe", "rows", "rejection_rate", "files"))
    systems = fields.texts("systems")
    if not systems or not all(map(is_identifier, systems)):
        raise fields.wrong("systems", "a list of system names")
    counted: dict[Split, Mapping[str, int]] = {}
    for split in SPLITS:
        of_split = rows.inner(split)
        counted[split] = {system: of_split.whole(system) for system in systems}
    recorded = {_file_name(split): files.inner(_file_name(split)) for split in SPLITS}
    return DatasetInfo(
        name=path.name,
        path=path,
        systems=systems,
        rows=counted,
        digest=fields.text("digest"),
        expert=recipe.one_of("expert", EXPERTS),
        blocking=MoveBlocking(recipe.wholes("blocks", least=1)),
        rejection_rate={system: rates.number(system) for system in systems},
        recipe=fields.table("recipe"),
        certificate=fields.table("certificate"),
        files={name: PublishedFile(file.text("sha256"), file.whole("bytes")) for name, file in recorded.items()},
    )


def load_rows(info: DatasetInfo, split: Split, system: str) -> Rows:
    """Load the rows of one split and system, after checking the file against the manifest.

    Raises:
        InputError: the dataset does not contain the system, or the file is missing or was changed.
    """
    from pyarrow import compute, parquet

    if system not in info.systems:
        raise InputError(f"dataset {info.name!r} contains {', '.join(info.systems)}, but not {system}.")
    path = info.path / _file_name(split)
    _verify(info, path)
    table = parquet.read_table(path, schema=row_schema(), partitioning=None)
    columns = table.filter(compute.equal(table["system"], system)).to_pydict()
    return Rows(
        row_ids=np.array(columns["row_id"], dtype=np.int64),
        trajectory_ids=np.array(columns["trajectory_id"], dtype=np.int64),
        kinds=tuple(columns["kind"]),
        states=np.array(columns["state"], dtype=float),
        moves=np.array(columns["moves"], dtype=float),
        controls=np.array(columns["controls"], dtype=float),
        feedback=np.array(columns["feedback"], dtype=float),
        costs=np.array(columns["cost"], dtype=float),
        optimal_costs=np.array(columns["optimal_cost"], dtype=float),
    )


def verify_files(info: DatasetInfo) -> None:
    """Check every file of the dataset against its manifest.

    Raises:
        InputError: a file is missing or was changed.
    """
    for split in SPLITS:
        _verify(info, info.path / _file_name(split))


def damaged_files(info: DatasetInfo) -> list[str]:
    """Return the files that are missing or whose size differs from the manifest, without reading them."""
    paths = [info.path / _file_name(split) for split in SPLITS]
    return [path.name for path in paths if not path.is_file() or path.stat().st_size != info.files[path.name].bytes]


def damage_text(info: DatasetInfo) -> str:
    """Describe damaged files and how to repair the dataset; empty if it is intact."""
    files = ", ".join(damaged_files(info))
    repair = f"delete the folder {str(info.path)!r} and regenerate the data"
    return f"{files} missing or truncated; {repair}" if files else ""


def _verify(info: DatasetInfo, path: Path) -> None:
    if not path.is_file() or file_digest(path) != info.files[path.name].sha256:
        raise InputError(
            f"{str(path)!r} is missing, truncated or changed: it does not match the manifest. Delete the folder "
            f"{str(info.path)!r} and regenerate the data with 'setpoint data generate'."
        )


def publish(path: Path, recipe: Recipe, generated: GeneratedRows) -> None:
    """Write a dataset to a hidden folder and rename it to `path`; an existing dataset at `path` is kept."""
    temporary = temporary_path(path)
    temporary.mkdir(parents=True)
    try:
        for split in SPLITS:
            write_rows(temporary / _file_name(split), generated.rows[split])
            sync_file(temporary / _file_name(split))
        write_json(temporary / _MANIFEST, _manifest(path.name, temporary, recipe, generated))
        try:
            temporary.rename(path)
        except OSError:  # another process may have published the same dataset first
            if not (path / _MANIFEST).exists():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _manifest(name: str, folder: Path, recipe: Recipe, generated: GeneratedRows) -> dict[str, Any]:
    all_rows = [row for split in SPLITS for row in generated.rows[split]]
    files = [folder / _file_name(split) for split in SPLITS]
    return {
        "schema": SCHEMA_VERSION,
        "name": name,
        "systems": list(recipe.systems),
        "rows": {split: _count(generated.rows[split], recipe.systems) for split in SPLITS},
        "draws": generated.draws,
        "rejection_rate": {
            system: generated.uncertified[system] / generated.draws[system] for system in recipe.systems
        },
        "redrawn_for_distance": generated.too_close,
        "certificate": {
            "solvers": {solver: sum(row.solver == solver for row in all_rows) for solver in _solvers(all_rows)},
            **{f"worst_{name}": max(getattr(row, name) for row in all_rows) for name in _WORST},
            "worst_duality_gap": max(
                (row.duality_gap for row in all_rows if row.duality_gap is not None), default=None
            ),
            "agreement": {system: asdict(generated.agreement[system]) for system in recipe.systems},
            "optimum": {system: problems.get(system).optimum_label for system in recipe.systems},
        },
        "recipe": recipe.definition(),
        "digest": digest({"recipe": recipe.definition(), "rows": [asdict(row) for row in all_rows]}),
        "versions": package_versions(("setpoint", "casadi", "numpy", "pyarrow")),
        "files": {file.name: {"sha256": file_digest(file), "bytes": file.stat().st_size} for file in files},
    }


def _count(rows: Iterable[Row], systems: Iterable[str]) -> dict[str, int]:
    found = [row.system for row in rows]
    return {system: found.count(system) for system in systems}


def _solvers(rows: Iterable[Row]) -> list[str]:
    return sorted({row.solver for row in rows})


def _file_name(split: Split) -> str:
    return f"{split}.parquet"
