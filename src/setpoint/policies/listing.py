"""Base models of this installation: the built-in one, and those that can be fetched or were converted."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts import read_json
from setpoint.policies.bases import BUILTIN, builtin_path
from setpoint.policies.library import FETCHABLE, cache_folder

_PRECISIONS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class ListedBase:
    """One base model.

    Attributes:
        name: as given to `--base-model`.
        weights: number of weights; None if unknown.
        context: longest sequence, in tokens; None if unknown.
        precision: precision of the weights on disk, or of the source if it is not fetched.
        chat_template: whether it has a chat template.
        state: `built in`, `fetched`, `converted` or `not fetched`.
        source: where it comes from.
        path: its folder, if it is on this machine.
    """

    name: str
    weights: int | None
    context: int | None
    precision: str
    chat_template: bool
    state: str
    source: str
    path: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the base as text."""
        size = "" if self.weights is None else f"{self.weights / 1e6:.4g} million weights, "
        context = "" if self.context is None else f"context {self.context:,} tokens, "
        template = "chat template" if self.chat_template else "no chat template"
        hint = f"; run: setpoint base fetch {self.name}" if self.state == "not fetched" else ""
        return [
            f"{self.name}  ({self.state}{hint})",
            f"    {size}{context}{self.precision}, {template}",
            f"    {self.path or self.source}",
        ]


def listed_bases() -> list[ListedBase]:
    """Return the built-in base, the known bases, and the converted GGUF files of the cache."""
    found = [_on_disk(BUILTIN, builtin_path(), "built in", "this package")]
    for known in FETCHABLE.values():
        path = cache_folder() / known.name
        source = f"{known.title} from {known.requirement}, {known.licence}, {known.download_mb} MB"
        if path.is_dir():
            found.append(_on_disk(known.name, path, "fetched", source))
        else:
            found.append(
                ListedBase(known.name, known.weights, known.context, known.precision, True, "not fetched", source, None)
            )
    for path in sorted(cache_folder().glob("gguf-*")):
        record = read_json(path / "recipe.json")
        source = str(record.get("file", "")) if isinstance(record, dict) else ""
        found.append(_on_disk(source or str(path), path, "converted", source))
    return found


def _on_disk(name: str, path: Path, state: str, source: str) -> ListedBase:
    config = read_json(path / "config.json")
    config = config if isinstance(config, dict) else {}
    tensors = [tensor for file in sorted(path.glob("*.safetensors")) for tensor in _tensors(file)]
    context = config.get("max_position_embeddings")
    return ListedBase(
        name=name,
        weights=sum(math.prod(tensor["shape"]) for tensor in tensors) or None,
        context=context if isinstance(context, int) else None,
        precision=", ".join(sorted({_PRECISIONS.get(tensor["dtype"], tensor["dtype"]) for tensor in tensors})),
        chat_template=bool(list(path.glob("chat_template*"))) or "chat_template" in _tokenizer_config(path),
        state=state,
        source=source,
        path=str(path),
    )


def _tokenizer_config(path: Path) -> dict[str, Any]:
    found = read_json(path / "tokenizer_config.json")
    return found if isinstance(found, dict) else {}


def _tensors(file: Path) -> list[dict[str, Any]]:
    """Return shape and type of the tensors of a safetensors file, from its header."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return [tensor for name, tensor in header.items() if name != "__metadata__"]
