"""Check trained adapters on disk: their files, and the base model they were trained on."""

import json
from pathlib import Path

from setpoint.artifacts import StageFolder, read_json
from setpoint.errors import InputError
from setpoint.policies.bases import BaseModel

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
    record = read_json(adapter / ADAPTER_RECORD)
    recorded = record.get("base") if isinstance(record, dict) else None
    if not isinstance(recorded, dict) or recorded.get("digest") != base.digest:
        found = (
            f"{recorded.get('name')!r} ({recorded.get('digest')})" if isinstance(recorded, dict) else "no known base"
        )
        raise InputError(
            f"adapter {str(adapter)!r} belongs to {found}, not to {base.name!r} ({base.digest}). An adapter works only "
            "with the base it was trained on; select that base with --base-model."
        )
    _require_intact(adapter)


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
        json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
        with safe_open(adapter / "adapter_model.safetensors", framework="np") as weights:
            weights.keys()
    except (ValueError, SafetensorError) as error:
        raise InputError(f"adapter {str(adapter)!r} is damaged: {error}. Copy it again.") from error
