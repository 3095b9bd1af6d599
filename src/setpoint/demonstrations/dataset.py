"""A data set on disk: one Parquet file per split, and the manifest that says what they hold.

datasets/<name>/train.parquet validation.parquet test.parquet
datasets/<name>/manifest.json     written last; the folder is renamed into place when all of it is there
"""

import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from setpoint import problems
from setpoint.artifacts import Workspace, read_json, write_json
from setpoint.artifacts.atomic import sync_file, sync_folder
from setpoint.demonstrations import names
from setpoint.demonstrations.generate import GeneratedRows
from setpoint.demonstrations.recipe import SPLITS, Expert, Recipe, Split
from setpoint.demonstrations.schema import SCHEMA_VERSION, Row, row_schema, write_rows
from setpoint.errors import InputError
from setpoint.fingerprint import digest, file_digest
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.provenance import package_versions

_MANIFEST = "manifest.json"
_WORST = ("stationarity", "gap", "violation", "complementarity")


@dataclass(frozen=True)
class DatasetInfo:
    """What the manifest of a data set says.

    Attributes:
        name: of its folder.
        path: the folder.
        systems: full names.
        rows: split -> system -> number of rows.
        digest: of configuration and rows.
        expert: whose moves the rows hold.
        blocking: of the moves.
        rejection_rate: system -> share of draws without a certified optimum.
        manifest: all of it.
    """

    name: str
    path: Path
    systems: tuple[str, ...]
    rows: Mapping[Split, Mapping[str, int]]
    digest: str
    expert: Expert
    blocking: MoveBlocking
    rejection_rate: Mapping[str, float]
    manifest: Mapping[str, Any]

    @property
    def total_rows(self) -> int:
        """Rows of all systems and splits."""
        return sum(sum(of_system.values()) for of_system in self.rows.values())


@dataclass(frozen=True)
class Rows:
    """Rows of one system and split, as arrays; attributes as in `setpoint.demonstrations.schema.Row`."""

    row_ids: Int[np.ndarray, " R"]
    trajectory_ids: Int[np.ndarray, " R"]
    kinds: tuple[str, ...]
    states: Float[np.ndarray, "R n_x"]
    moves: Float[np.ndarray, "R M n_u"]
    feedback: Float[np.ndarray, "R n_u"]
    costs: Float[np.ndarray, " R"]
    optimal_costs: Float[np.ndarray, " R"]

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.row_ids)


def open_dataset(workspace: Workspace, name: str, blocking: MoveBlocking = COARSE_TO_FINE) -> DatasetInfo:
    """The data set called `name`; the data of a system by itself are those with the moves of `blocking`.

    Raises:
        InputError: there is none, with the command that makes it; or its manifest cannot be read.
    """
    parsed = names.parse(name)
    path = workspace.datasets / parsed.folder(blocking)
    if not path.is_dir():
        known = [info.name for info in list_datasets(workspace)]
        raise InputError(
            f"there is no data set {name!r} in {str(workspace.datasets)!r}"
            f"{' (there are ' + ', '.join(known) + ')' if known else ''}. Make it with: {parsed.command()}"
        )
    return read_info(path)


def list_datasets(workspace: Workspace) -> list[DatasetInfo]:
    """Every data set of the workspace, by name; folders without a manifest that can be read are left out."""
    found = []
    for manifest in sorted(workspace.datasets.glob(f"[!.]*/{_MANIFEST}")):
        try:
            found.append(read_info(manifest.parent))
        except InputError:
            continue
    return found


def read_info(path: Path) -> DatasetInfo:
    """The data set in the folder `path`.

    Raises:
        InputError: the manifest is missing, cannot be read or has another schema version.
    """
    manifest = read_json(path / _MANIFEST)
    try:
        if manifest["schema"] != SCHEMA_VERSION:
            raise InputError(
                f"data set {str(path)!r} has schema {manifest['schema']}, but this version reads {SCHEMA_VERSION}. "
                "Remove the folder and make the data again."
            )
        return DatasetInfo(
            name=path.name,
            path=path,
            systems=tuple(manifest["systems"]),
            rows={split: dict(manifest["rows"][split]) for split in SPLITS},
            digest=manifest["digest"],
            expert=manifest["recipe"]["expert"],
            blocking=MoveBlocking(tuple(manifest["recipe"]["blocks"])),
            rejection_rate=manifest["rejection_rate"],
            manifest=manifest,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{str(path / _MANIFEST)!r} is not the manifest of a data set. Remove the folder and make the data again."
        ) from error


def load_rows(info: DatasetInfo, split: Split, system: str) -> Rows:
    """The rows of one split and system, checked against the manifest.

    Raises:
        InputError: the data set does not hold the system, or the file is not the one that was written.
    """
    from pyarrow import compute, parquet

    if system not in info.systems:
        raise InputError(f"data set {info.name!r} holds {', '.join(info.systems)}, but not {system}.")
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
        feedback=np.array(columns["feedback"], dtype=float),
        costs=np.array(columns["cost"], dtype=float),
        optimal_costs=np.array(columns["optimal_cost"], dtype=float),
    )


def verify_files(info: DatasetInfo) -> None:
    """Check every file of the data set against its manifest.

    Raises:
        InputError: a file is missing or is not the one that was written.
    """
    for split in SPLITS:
        _verify(info, info.path / _file_name(split))


def damaged_files(info: DatasetInfo) -> list[str]:
    """Names of files that are missing or have another size than the manifest lists; quick, for nothing is read."""
    sizes = {name: file.get("bytes") for name, file in info.manifest.get("files", {}).items()}
    paths = [info.path / _file_name(split) for split in SPLITS]
    return [path.name for path in paths if not path.is_file() or path.stat().st_size != sizes.get(path.name)]


def damage_text(info: DatasetInfo) -> str:
    """What is wrong with the files, and what to do about it; empty where nothing is."""
    files = ", ".join(damaged_files(info))
    return f"{files} missing or cut off; remove the folder {str(info.path)!r} and make the data again" if files else ""


def _verify(info: DatasetInfo, path: Path) -> None:
    recorded = info.manifest.get("files", {}).get(path.name, {})
    if not path.is_file() or file_digest(path) != recorded.get("sha256"):
        raise InputError(
            f"{str(path)!r} is missing, cut off or changed: it is not the file that the manifest lists. Remove the "
            f"folder {str(info.path)!r} and make the data again with 'setpoint data generate'."
        )


def publish(path: Path, recipe: Recipe, generated: GeneratedRows) -> None:
    """Write a data set to a hidden folder and rename it to `path`; where `path` exists already, that one stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    temporary.mkdir(parents=True)
    try:
        for split in SPLITS:
            write_rows(temporary / _file_name(split), generated.rows[split])
            sync_file(temporary / _file_name(split))
        write_json(temporary / _MANIFEST, _manifest(path.name, temporary, recipe, generated))
        try:
            temporary.rename(path)
        except OSError:
            if not (path / _MANIFEST).exists():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _manifest(name: str, folder: Path, recipe: Recipe, generated: GeneratedRows) -> dict[str, Any]:
    every_row = [row for split in SPLITS for row in generated.rows[split]]
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
            "solvers": {solver: sum(row.solver == solver for row in every_row) for solver in _solvers(every_row)},
            **{f"worst_{name}": max(getattr(row, name) for row in every_row) for name in _WORST},
            "worst_duality_gap": max(
                (row.duality_gap for row in every_row if row.duality_gap is not None), default=None
            ),
            "agreement": {system: asdict(generated.agreement[system]) for system in recipe.systems},
            "optimum": {system: problems.get(system).optimum_word for system in recipe.systems},
        },
        "recipe": recipe.definition(),
        "digest": digest({"recipe": recipe.definition(), "rows": [asdict(row) for row in every_row]}),
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
