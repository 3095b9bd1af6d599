"""A trained adapter on disk: what lies beside its weights, and whether it belongs to a base."""

import json
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import DamagedError, Fields, StageFolder, is_identifier, read_json
from setpoint.errors import InputError
from setpoint.language import PromptFormat
from setpoint.language.prompt_format import TEMPLATES
from setpoint.policies.bases import BaseModel
from setpoint.problems import MoveBlocking

ADAPTER_RECORD = "setpoint.json"
"""Beside an adapter's own files: which base and prompt format it belongs to, and how it was trained."""


def check_adapter(adapter: Path, base: BaseModel) -> None:
    """See that `adapter` is there and was trained on `base`.

    Raises:
        InputError: it is missing, incomplete, damaged, without a record of its base, or made for another base.
    """
    required = ("adapter_config.json", "adapter_model.safetensors", ADAPTER_RECORD)
    missing = [name for name in required if not (adapter / name).is_file()]
    if missing:
        raise InputError(
            f"an adapter must be a folder with {', '.join(required)}, but {str(adapter)!r} lacks {', '.join(missing)}. "
            "`setpoint models list` shows the adapters of this workspace."
        )
    name, recorded = _recorded_base(adapter)
    if recorded != base.digest:
        found = f"{name!r} ({recorded})" if recorded else "no known base"
        raise InputError(
            f"adapter {str(adapter)!r} belongs to {found}, not to {base.name!r} ({base.digest}). An adapter works only "
            "on the base that it was trained on; name that one with --base-model."
        )
    _require_intact(adapter)
    read_adapter_config(adapter)


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    """What training wrote beside an adapter, as far as it takes to use it.

    Attributes:
        base: the name that its base had then.
        systems: full names.
    """

    base: str
    systems: tuple[str, ...]
    prompt_format: PromptFormat


def read_record(adapter: Path) -> AdapterRecord:
    """The record in the folder of an adapter.

    Raises:
        InputError: there is none, or a damaged one.
    """
    path = adapter / ADAPTER_RECORD
    fields = Fields(read_json(path), path)
    prompts, systems = fields.inner("dialect"), fields.texts("systems")
    if not systems or not all(map(is_identifier, systems)):
        raise fields.wrong("systems", "a list of names of systems")
    return AdapterRecord(
        base=fields.inner("base").text("name"),
        systems=systems,
        prompt_format=PromptFormat(
            template=prompts.one_of("template", TEMPLATES),
            blocking=MoveBlocking(prompts.wholes("blocks", least=1)),
            control_decimals=prompts.whole("control_decimals"),
            state_decimals=prompts.whole("state_decimals"),
        ),
    )


def _recorded_base(adapter: Path) -> tuple[str, str]:
    """Name and digest of the base that an adapter was trained on; empty where its record does not say."""
    path = adapter / ADAPTER_RECORD
    try:
        base = Fields(read_json(path), path).inner("base")
        return base.text("name"), base.text("digest")
    except DamagedError:
        return "", ""


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The shape of an adapter, from PEFT's own description of it."""

    rank: int
    scale: float


def read_adapter_config(adapter: Path) -> AdapterConfig:
    """The shape of the adapter in a folder.

    Raises:
        InputError: PEFT's file is missing, damaged, or describes no LoRA adapter.
    """
    path = adapter / "adapter_config.json"
    fields = Fields(read_json(path), path)
    fields.one_of("peft_type", ("LORA",))
    fields.texts("target_modules")
    rank = fields.whole("r", least=1)
    return AdapterConfig(rank, fields.number("lora_alpha") / rank)


def _require_intact(adapter: Path) -> None:
    """Compare an adapter that a stage published with the stage's manifest; one that was copied has none beside it."""
    folder = adapter.resolve()
    stage = StageFolder(folder.parent)
    if stage.read_manifest() is None:
        _require_readable(folder)
    elif damaged := [Path(name).name for name in stage.damaged_files() if name.startswith(f"{folder.name}/")]:
        raise InputError(
            f"adapter {str(adapter)!r} is damaged: {', '.join(damaged)} is not what was published. "
            "`setpoint experiment resume` trains it anew."
        )


def _require_readable(adapter: Path) -> None:
    """Of an adapter from elsewhere, nothing but the form can be checked."""
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        with safe_open(adapter / "adapter_model.safetensors", framework="np") as weights:
            weights.keys()
    except (ValueError, SafetensorError) as error:
        raise InputError(f"adapter {str(adapter)!r} is damaged: {error}. Copy it again.") from error
