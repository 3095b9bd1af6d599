"""Language models that can be sampled, as controllers; base models and presets. Nothing heavy is imported here."""

from setpoint.policies.bases import BUILTIN, BaseModel, builtin_path, resolve_base
from setpoint.policies.presets import PRESETS, BasePreset

__all__ = ["BUILTIN", "PRESETS", "BaseModel", "BasePreset", "builtin_path", "resolve_base"]
