"""Resolve base models by name: the built-in base, a fetched base, a GGUF file, a local folder or a model-hub id."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from setpoint.artifacts import Fields, is_file_name, read_json
from setpoint.errors import InputError, legible, shown
from setpoint.fingerprint import digest, file_digest
from setpoint.policies.library import FETCHABLE, is_library_name, require_fetched
from setpoint.policies.presets import GENERAL, TINY, BasePreset, preset_of
from setpoint.regular_files import open_regular, read_regular

BUILTIN = "builtin:tiny"
_WEIGHTS = ("model*.safetensors",)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format."""
_INDEX = "model.safetensors.index.json"
_REQUIRED = ("config.json", "tokenizer_config.json")
_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Name endings of architectures that may generate text; only loading the model can confirm it."""
_ENCODERS = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert", "electra", "deberta", "deberta-v2"}
)
"""Encoder-only model types, for configurations that name no architecture."""
_POSITIVE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
"""Fields of a configuration that must be positive integers if present."""
_TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates", "chat_templates")


@dataclass(frozen=True)
class BaseModel:
    """A resolved base model.

    Attributes:
        name: hub id or name of the built-in base; for a folder its absolute path, so that plans and adapters find it
            from anywhere.
        location: a folder or a hub id.
        digest: digest of the weights, configuration and tokenizer; for a hub model, of its id.
        preset: default settings of the base model.
    """

    name: str
    location: str
    digest: str
    preset: BasePreset

    @property
    def on_hub(self) -> bool:
        """Whether the model is loaded from the hub or its cache."""
        return not Path(self.location).is_dir()


def builtin_path() -> Path:
    """Return the folder of the built-in base inside the installed package."""
    return Path(str(files("setpoint.policies"))) / "builtin_tiny"


def resolve_base(name: str) -> BaseModel:
    """Resolve the base model `name`.

    Raises:
        InputError: `name` is none of these, or has not been fetched or converted yet.
    """
    if name == BUILTIN:
        path = builtin_path()
        return BaseModel(name, str(path), _folder_digest(path), TINY)
    if is_library_name(name):
        return _of_folder(name if name in FETCHABLE else str(Path(name).expanduser().absolute()), require_fetched(name))
    folder = _folder(name)
    if folder is not None:
        return _of_folder(str(folder.absolute()), folder.resolve())
    if name.startswith("builtin:") or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"base model {shown(name)} is neither {BUILTIN!r}, nor a model folder, nor a GGUF file, nor a hub id such "
            f"as owner/model, nor one that `setpoint base fetch` knows ({', '.join(FETCHABLE)}). Pass one of these to "
            "--base-model."
        )
    return BaseModel(name, name, digest({"hub": name}), GENERAL)


def _of_folder(name: str, path: Path) -> BaseModel:
    identity = _folder_digest(path)
    stored = sum(file.stat().st_size for pattern in _WEIGHTS for file in path.glob(pattern))
    return BaseModel(name, str(path), identity, preset_of(stored))


def _folder(name: str) -> Path | None:
    """Return the folder or file of this name; None if there is none."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # a name that is too long, of an unknown user, or with a null byte
        return None


def _folder_digest(path: Path) -> str:
    missing = [name for name in _REQUIRED if not (path / name).is_file()]
    weights = sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)) if path.is_dir() else []
    if missing or not weights:
        lacks = ", ".join([*missing, *([] if weights else ["weights (model.safetensors)"])])
        pickled = path.is_dir() and any(file for pattern in _PICKLED for file in path.glob(pattern))
        why = " Pickled weights can run code and are not read; convert them to safetensors." if pickled else ""
        raise InputError(
            f"base model {shown(str(path))} is not a causal language model folder: it lacks {lacks}.{why} Pass a "
            "folder saved by transformers to --base-model."
        )
    for file in [*weights, *path.glob("*.json")]:
        _require_undamaged(file)
    _require_shards(path)
    _require_causal(path)
    _require_chat_template(path)
    parts = [*weights, *sorted(path.glob("*.json")), *sorted(path.glob("*.jinja"))]
    return digest({part.name: file_digest(part) for part in parts if not part.name.startswith("recipe")})


def _require_causal(path: Path) -> None:
    """Reject models that cannot be causal language models by their configuration, since loading them is slow."""
    config = read_json(path / "config.json", links=True)
    fields = Fields(config if isinstance(config, dict) else {}, path / "config.json")
    model_type = fields.optional_text("model_type")
    if not model_type:
        raise InputError(f"{str(path / 'config.json')!r} has no model_type. Copy it again from its source.")
    for name in _POSITIVE:
        fields.optional_whole(name, least=1)
    _require_no_code(fields, path / "config.json")
    if fields.has("quantization_config"):
        raise InputError(
            f"base model {shown(str(path))} has quantised weights (quantization_config), which cannot be trained here. "
            "Pass the model with its original weights."
        )
    named = fields.texts("architectures") if fields.has("architectures") else ()
    found = ", ".join(named) or f"model_type {model_type!r}"
    if not any(name.endswith(_CAUSAL) for name in named) if named else model_type in _ENCODERS:
        raise InputError(
            f"base model {str(path)!r} is not a causal language model, but {found}. Pass a model that generates text "
            "to --base-model, such as an instruction-tuned *ForCausalLM."
        )


def _require_no_code(fields: Fields, file: Path) -> None:
    if fields.has("auto_map"):
        raise InputError(
            f"{shown(str(file))} names code that came with the model (auto_map), and such code is never run. Remove "
            "auto_map if transformers knows the architecture, or choose another model."
        )


def _require_shards(path: Path) -> None:
    """Check that every file of weights that an index lists is there."""
    if not (path / _INDEX).is_file():
        return
    places = Fields(read_json(path / _INDEX, links=True), path / _INDEX).table("weight_map").values()
    missing = sorted({str(place) for place in places if not (is_file_name(place) and (path / place).is_file())})
    if missing:
        raise InputError(
            f"base model {shown(str(path))} lacks {len(missing)} of its files of weights, such as {shown(missing[0])}. "
            "Copy it again."
        )


def _require_chat_template(path: Path) -> None:
    fields = Fields(read_json(path / "tokenizer_config.json", links=True), path / "tokenizer_config.json")
    fields.optional_number("model_max_length")
    _require_no_code(fields, path / "tokenizer_config.json")
    if not fields.has("chat_template") and not any((path / name).exists() for name in _TEMPLATES):
        raise missing_template(str(path))


def missing_template(name: str) -> InputError:
    """Return the error for a base model without a chat template."""
    return InputError(
        f"base model {name!r} has no chat template, so its prompt format is unknown. Use an instruction-tuned model, "
        "or add chat_template.jinja to its folder."
    )


def _require_undamaged(file: Path) -> None:
    """Reject files that are damaged by an incomplete copy or download, before any work depends on them."""
    try:
        if file.suffix == ".json":
            json.loads(read_regular(file))
        elif file.suffix == ".safetensors":
            # Layout: header length (8 bytes, little-endian), JSON header, tensor data; see huggingface/safetensors.
            with open_regular(file) as stream:
                header_bytes = int.from_bytes(stream.read(8), "little")
                if header_bytes > _LONGEST_HEADER:
                    raise ValueError("its header is too long")
                tensors = json.loads(stream.read(header_bytes))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
            if 8 + header_bytes + max(ends) != file.stat().st_size:
                raise ValueError("its size does not match its header")
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError, IndexError
    ) as error:  # fmt: skip
        raise InputError(
            f"base model file {shown(str(file))} is truncated or damaged ({legible(str(error))}). Copy it again."
        ) from error
