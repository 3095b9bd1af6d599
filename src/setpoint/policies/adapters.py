"""Check trained adapters on disk: their files, and the base model they were trained on."""

from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import DamagedError, Fields, StageFolder, is_identifier, read_json
from setpoint.errors import InputError
from setpoint.language import PromptFormat
from setpoint.language.config import AUTO, REASONINGS, SYSTEM_ROLES, TEMPLATES
from setpoint.policies.bases import BaseModel
from setpoint.problems import MoveBlocking

ADAPTER_RECORD = "setpoint.json"
"""File beside the adapter that records its base model, prompt format and training parameters."""


def check_adapter(adapter: Path, base: BaseModel) -> None:
    """Check that `adapter` is complete, intact and was trained on `base`.

    Raises:
        InputError: it is missing, incomplete, damaged, has no record of its base, or was trained on another base.
    """
    required = ("adapter_config.json", "adapter_model.safetensors", ADAPTER_RECORD)
    missing = [name for name in required if not (adapter / name).is_file()]
    if missing:
        raise InputError(
            f"an adapter must be a folder with {', '.join(required)}, but {str(adapter)!r} lacks {', '.join(missing)}. "
            "Run `setpoint models list` to see the adapters of this workspace."
        )
    name, recorded = _recorded_base(adapter)
    if recorded != base.digest:
        found = f"{name!r} ({recorded})" if recorded else "no known base"
        raise InputError(
            f"adapter {str(adapter)!r} belongs to {found}, not to {base.name!r} ({base.digest}). An adapter works only "
            "with the base it was trained on; select that base with --base-model."
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
    if not path.is_file():
        raise InputError(f"it has no {ADAPTER_RECORD}.")
    fields = Fields(read_json(path, links=True), path)
    prompts, systems = fields.inner("dialect"), fields.texts("systems")
    decimals = fields.table("dialect").get("control_decimals")
    if not systems or not all(map(is_identifier, systems)):
        raise fields.wrong("systems", "a list of names of systems")
    return AdapterRecord(
        base=fields.inner("base").text("name"),
        systems=systems,
        prompt_format=PromptFormat(
            template=prompts.one_of("template", TEMPLATES),
            blocking=MoveBlocking(prompts.wholes("blocks", least=1)),
            control_decimals=prompts.whole("control_decimals") if decimals != AUTO else AUTO,
            state_decimals=prompts.whole("state_decimals"),
            reasoning=prompts.one_of("reasoning", REASONINGS),
            system_role=prompts.one_of("system_role", SYSTEM_ROLES),
        ),
    )


def _recorded_base(adapter: Path) -> tuple[str, str]:
    """Name and digest of the base that an adapter was trained on; empty where its record does not say."""
    path = adapter / ADAPTER_RECORD
    try:
        base = Fields(read_json(path, links=True), path).inner("base")
        return base.text("name"), base.text("digest")
    except DamagedError:
        return "", ""


_OTHER_KINDS = (
    "alora_invocation_tokens", "arrow_config", "auto_mapping", "corda_config", "eva_config", "kasa_config",
    "layer_replication", "lora_ga_config", "modules_to_save", "target_parameters", "trainable_token_indices",
    "use_bdlora", "use_dora", "use_qalora", "velora_config",
)  # fmt: skip
"""Settings of PEFT that make another kind of adapter than this package trains."""


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
    fields = Fields(read_json(path, links=True), path)
    fields.one_of("peft_type", ("LORA",))
    fields.texts("target_modules")
    for name in _OTHER_KINDS:
        if fields.has(name):
            raise fields.wrong(name, "empty, because only plain LoRA adapters are used")
    rank = fields.whole("r", least=1)
    return AdapterConfig(rank, fields.number("lora_alpha") / rank)


def _require_intact(adapter: Path) -> None:
    """Compare an adapter with the manifest of its stage; a copied adapter has none, so only its format is checked."""
    folder = adapter.resolve()
    stage = StageFolder(folder.parent)
    if stage.read_manifest() is None:
        _require_readable(folder)
    elif damaged := [Path(name).name for name in stage.damaged_files() if name.startswith(f"{folder.name}/")]:
        raise InputError(
            f"adapter {str(adapter)!r} is damaged: {', '.join(damaged)} is not what was published. "
            "Run `setpoint experiment resume` to retrain it."
        )


def _require_readable(adapter: Path) -> None:
    """Check that the files of a copied adapter can be parsed."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter / "adapter_model.safetensors", framework="np") as weights:
            weights.keys()
    except (ValueError, SafetensorError) as error:
        raise InputError(f"adapter {str(adapter)!r} is damaged: {error}. Copy it again.") from error
