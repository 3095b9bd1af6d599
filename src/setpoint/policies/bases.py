"""Base models by name: the built-in one, a local folder, or an id on the model hub."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from setpoint.artifacts import Fields, read_json
from setpoint.errors import InputError
from setpoint.fingerprint import digest, file_digest
from setpoint.policies.presets import GENERAL, TINY, BasePreset

BUILTIN = "builtin:tiny"
_WEIGHTS = ("*.safetensors", "*.bin")
_REQUIRED = ("config.json", "tokenizer_config.json")
_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Ends of the names of architectures that may generate; whether they do, only loading tells."""
_ENCODERS = frozenset(
    {"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "albert", "electra", "deberta", "deberta-v2"}
)
"""Model types that do not generate as they are, for configurations that name no architecture."""
_WHOLE = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
"""Of a configuration: numbers that must be positive where they are given."""
_TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates", "chat_templates")


@dataclass(frozen=True)
class BaseModel:
    """A base model that can be loaded.

    Attributes:
        name: what the user called it; recorded in adapters.
        location: a folder, or a hub id.
        digest: of its weights, configuration and tokenizer; for a hub id, of the id.
        preset: the defaults that belong to it.
    """

    name: str
    location: str
    digest: str
    preset: BasePreset

    @property
    def on_hub(self) -> bool:
        """Whether it is to be fetched by its id, or found in the cache of the hub."""
        return not Path(self.location).is_dir()


def builtin_path() -> Path:
    """The folder of the built-in base inside the installed package."""
    return Path(str(files("setpoint.policies"))) / "builtin_tiny"


def resolve_base(name: str) -> BaseModel:
    """The base model called `name`.

    Raises:
        InputError: neither the built-in base, nor a folder with a model, nor shaped like a hub id.
    """
    if name == BUILTIN:
        path = builtin_path()
        return BaseModel(name, str(path), _folder_digest(path), TINY)
    path = Path(name).expanduser()
    if name and path.exists():
        return BaseModel(name, str(path.resolve()), _folder_digest(path), GENERAL)
    if name.startswith("builtin:") or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"base model {name!r} is neither {BUILTIN!r}, nor a folder with a model, nor a hub id of the form "
            "owner/model. Give one of these with --base-model."
        )
    return BaseModel(name, name, digest({"hub": name}), GENERAL)


def _folder_digest(path: Path) -> str:
    missing = [name for name in _REQUIRED if not (path / name).is_file()]
    weights = sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)) if path.is_dir() else []
    if missing or not weights:
        lacks = ", ".join([*missing, *([] if weights else ["weights (*.safetensors)"])])
        raise InputError(
            f"base model {str(path)!r} is not a causal language model folder: it lacks {lacks}. Give --base-model a "
            "folder that transformers saved."
        )
    for file in [*weights, *path.glob("*.json")]:
        _require_whole(file)
    _require_causal(path)
    _require_chat_template(path)
    parts = [*weights, *sorted(path.glob("*.json")), *sorted(path.glob("*.jinja"))]
    return digest({part.name: file_digest(part) for part in parts if not part.name.startswith("recipe")})


def _require_causal(path: Path) -> None:
    """Refuse what cannot be a causal language model, from its configuration alone: loading it takes long."""
    config = read_json(path / "config.json")
    fields = Fields(config if isinstance(config, dict) else {}, path / "config.json")
    model_type = fields.optional_text("model_type")
    if not model_type:
        raise InputError(f"{str(path / 'config.json')!r} does not say its model_type. Copy it again from its source.")
    for name in _WHOLE:
        fields.optional_whole(name, least=1)
    named = fields.texts("architectures", ())
    found = ", ".join(named) or f"model_type {model_type!r}"
    if not any(name.endswith(_CAUSAL) for name in named) if named else model_type in _ENCODERS:
        raise InputError(
            f"base model {str(path)!r} is not a causal language model, but {found}. Give --base-model one that "
            "generates text, such as an instruction-tuned *ForCausalLM."
        )


def _require_chat_template(path: Path) -> None:
    fields = Fields(read_json(path / "tokenizer_config.json"), path / "tokenizer_config.json")
    fields.optional_number("model_max_length")
    if not fields.has("chat_template") and not any((path / name).exists() for name in _TEMPLATES):
        raise without_template(str(path))


def without_template(name: str) -> InputError:
    """The refusal of a base model that has no chat template."""
    return InputError(
        f"base model {name!r} has no chat template, so that nobody knows how to talk to it. Use an instruction-tuned "
        "model, or add chat_template.jinja to its folder."
    )


def _require_whole(file: Path) -> None:
    """Refuse a file that a broken copy or download has left behind, before anything is made for it."""
    try:
        if file.suffix == ".json":
            json.loads(file.read_bytes())
        elif file.suffix == ".safetensors":
            with file.open("rb") as stream:
                header_bytes = int.from_bytes(stream.read(8), "little")
                tensors = json.loads(stream.read(header_bytes))
            ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
            if 8 + header_bytes + max(ends) != file.stat().st_size:
                raise ValueError("its size is not what its header says")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise InputError(f"base model file {str(file)!r} is cut off or damaged ({error}). Copy it again.") from error
