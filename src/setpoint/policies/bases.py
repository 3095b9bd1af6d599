"""Resolve base models by name: the built-in base, a fetched base, a GGUF file, a local folder or a model-hub id."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from setpoint.artifacts import Fields, read_json
from setpoint.errors import InputError
from setpoint.fingerprint import digest, file_digest
from setpoint.policies.library import FETCHABLE, is_library_name, require_fetched
from setpoint.policies.presets import GENERAL, TINY, BasePreset, preset_of

BUILTIN = "builtin:tiny"
_WEIGHTS = ("*.safetensors", "*.bin")
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
        name: name given by the user; recorded in adapters.
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
        return _of_folder(name, require_fetched(name))
    path = Path(name).expanduser()
    if name and path.exists():
        return _of_folder(name, path.resolve())
    if name.startswith("builtin:") or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"base model {name!r} is neither {BUILTIN!r}, nor a model folder, nor a GGUF file, nor a hub id such as "
            f"owner/model, nor one that `setpoint base fetch` knows ({', '.join(FETCHABLE)}). Pass one of these to "
            "--base-model."
        )
    return BaseModel(name, name, digest({"hub": name}), GENERAL)


def _of_folder(name: str, path: Path) -> BaseModel:
    identity = _folder_digest(path)
    stored = sum(file.stat().st_size for pattern in _WEIGHTS for file in path.glob(pattern))
    return BaseModel(name, str(path), identity, preset_of(stored))


def _folder_digest(path: Path) -> str:
    missing = [name for name in _REQUIRED if not (path / name).is_file()]
    weights = sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)) if path.is_dir() else []
    if missing or not weights:
        lacks = ", ".join([*missing, *([] if weights else ["weights (*.safetensors)"])])
        raise InputError(
            f"base model {str(path)!r} is not a causal language model folder: it lacks {lacks}. Pass a folder saved "
            "by transformers to --base-model."
        )
    for file in [*weights, *path.glob("*.json")]:
        _require_undamaged(file)
    _require_causal(path)
    _require_chat_template(path)
    parts = [*weights, *sorted(path.glob("*.json")), *sorted(path.glob("*.jinja"))]
    return digest({part.name: file_digest(part) for part in parts if not part.name.startswith("recipe")})


def _require_causal(path: Path) -> None:
    """Reject models that cannot be causal language models by their configuration, since loading them is slow."""
    config = read_json(path / "config.json")
    fields = Fields(config if isinstance(config, dict) else {}, path / "config.json")
    model_type = fields.optional_text("model_type")
    if not model_type:
        raise InputError(f"{str(path / 'config.json')!r} has no model_type. Copy it again from its source.")
    for name in _POSITIVE:
        fields.optional_whole(name, least=1)
    named = fields.texts("architectures") if fields.has("architectures") else ()
    found = ", ".join(named) or f"model_type {model_type!r}"
    if not any(name.endswith(_CAUSAL) for name in named) if named else model_type in _ENCODERS:
        raise InputError(
            f"base model {str(path)!r} is not a causal language model, but {found}. Pass a model that generates text "
            "to --base-model, such as an instruction-tuned *ForCausalLM."
        )


def _require_chat_template(path: Path) -> None:
    fields = Fields(read_json(path / "tokenizer_config.json"), path / "tokenizer_config.json")
    fields.optional_number("model_max_length")
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
            json.loads(file.read_bytes())
        elif file.suffix == ".safetensors":
            # Layout: header length (8 bytes, little-endian), JSON header, tensor data; see huggingface/safetensors.
            with file.open("rb") as stream:
                header_bytes = int.from_bytes(stream.read(8), "little")
                tensors = json.loads(stream.read(header_bytes))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
            if 8 + header_bytes + max(ends) != file.stat().st_size:
                raise ValueError("its size does not match its header")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise InputError(f"base model file {str(file)!r} is truncated or damaged ({error}). Copy it again.") from error
