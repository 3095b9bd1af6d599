"""A trained adapter on disk: what lies beside its weights, and whether it belongs to a base."""

import json
from pathlib import Path

from setpoint.artifacts import StageFolder, read_json
from setpoint.errors import InputError
from setpoint.policies.bases import BaseModel

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
    record = read_json(adapter / ADAPTER_RECORD)
    recorded = record.get("base") if isinstance(record, dict) else None
    if not isinstance(recorded, dict) or recorded.get("digest") != base.digest:
        found = (
            f"{recorded.get('name')!r} ({recorded.get('digest')})" if isinstance(recorded, dict) else "no known base"
        )
        raise InputError(
            f"adapter {str(adapter)!r} belongs to {found}, not to {base.name!r} ({base.digest}). An adapter works only "
            "on the base that it was trained on; name that one with --base-model."
        )
    _require_intact(adapter)


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
