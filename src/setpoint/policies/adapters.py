"""A trained adapter on disk: what lies beside its weights, and whether it belongs to a base."""

from pathlib import Path

from setpoint.artifacts import read_json
from setpoint.errors import InputError
from setpoint.policies.bases import BaseModel

ADAPTER_RECORD = "setpoint.json"
"""Beside an adapter's own files: which base and dialect it belongs to, and how it was trained."""


def check_adapter(adapter: Path, base: BaseModel) -> None:
    """See that `adapter` is there and was trained on `base`.

    Raises:
        InputError: it is missing, incomplete, without a record of its base, or made for another base.
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
