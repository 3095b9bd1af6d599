"""Compare recomputed results with those of a capsule: equal, equal within a tolerance, or different and where."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from setpoint.artifacts import Manifest, StageFolder, parse_json

TOLERANCE = 1e-6
"""Largest relative difference of numbers that still counts as equal within tolerance."""


class Verdict(StrEnum):
    """How a recomputed result compares; the worst of several is the last."""

    EQUAL = "equal"
    CLOSE = "equal within tolerance"
    DIFFERENT = "different"
    NOT_RUN = "not recomputed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One recomputed thing: its verdict, and where it differs or why it was not recomputed."""

    what: str
    verdict: Verdict
    where: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return {"what": self.what, "verdict": self.verdict.value, "where": list(self.where)}


def compare_stage(what: str, stored: StageFolder, computed: StageFolder) -> Comparison:
    """Compare the published files and the summary of two stages."""
    before, after = stored.read_manifest(), computed.read_manifest()
    if before is None or after is None:
        return Comparison(what, Verdict.DIFFERENT, ("manifest.json is missing or damaged",))
    same_files = {name: file.sha256 for name, file in before.files.items()} == {
        name: file.sha256 for name, file in after.files.items()
    }
    if same_files and before.summary == after.summary:
        return Comparison(what, Verdict.EQUAL)
    where = list(_differences(stored, before, computed, after))
    return Comparison(what, Verdict.DIFFERENT if where else Verdict.CLOSE, tuple(where))


def _differences(stored: StageFolder, before: Manifest, computed: StageFolder, after: Manifest) -> Iterator[str]:
    for name in sorted(before.files.keys() ^ after.files.keys()):
        yield f"{name}: only {'in the capsule' if name in before.files else 'recomputed'}"
    for name in sorted(before.files.keys() & after.files.keys()):
        if before.files[name].sha256 != after.files[name].sha256:
            yield from (f"{name}: {text}" for text in _file_differences(stored.path / name, computed.path / name))
    yield from (f"summary: {text}" for text in _value_differences("", before.summary, after.summary))


def _file_differences(before: Path, after: Path) -> Iterator[str]:
    """Yield where two files differ by more than the tolerance."""
    match before.suffix:
        case ".parquet":
            yield from _value_differences("", _columns(before), _columns(after))
        case ".safetensors":
            yield from _value_differences("", _tensors(before), _tensors(after))
        case ".json":
            yield from _value_differences("", parse_json(before.read_bytes()), parse_json(after.read_bytes()))
        case _:
            yield "its text differs"


def _columns(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    return dict(pq.read_table(path).to_pydict())


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return {name: tensor.ravel().tolist() for name, tensor in load_file(path).items()}


def _value_differences(place: str, before: Any, after: Any) -> Iterator[str]:
    """Yield the places where two values differ; of a list of numbers, the largest difference."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted({*before, *after}, key=str):
            yield from _value_differences(f"{place}.{name}" if place else str(name), before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_differences(place, before, after)
    elif not _close(before, after):
        yield f"{place or 'value'} was {_short(before)}, now {_short(after)}"


def _list_differences(place: str, before: list[Any], after: list[Any]) -> Iterator[str]:
    if len(before) != len(after):
        yield f"{place}: {len(before)} values, now {len(after)}"
        return
    wrong = [k for k, (one, other) in enumerate(zip(before, after, strict=True)) if not _nested_close(one, other)]
    if wrong:
        first = wrong[0]
        values = f"{_short(before[first])}, now {_short(after[first])}"
        yield f"{place}: {len(wrong)} of {len(before)} values differ, first in row {first}: {values}"


def _nested_close(before: Any, after: Any) -> bool:
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_nested_close, before, after))
    return _close(before, after)


def _close(before: Any, after: Any) -> bool:
    numbers = (int, float)
    if isinstance(before, numbers) and isinstance(after, numbers) and bool not in {type(before), type(after)}:
        if not (math.isfinite(before) and math.isfinite(after)):
            return bool(np.array_equal([before], [after], equal_nan=True))
        return math.isclose(before, after, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(before == after)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}…"
