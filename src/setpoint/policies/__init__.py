"""Language models as controllers, base models and their presets; heavy libraries are imported lazily."""

from setpoint.policies.bases import BUILTIN, BaseModel, builtin_path, resolve_base
from setpoint.policies.presets import PRESETS, BasePreset

__all__ = ["BUILTIN", "PRESETS", "BaseModel", "BasePreset", "builtin_path", "resolve_base"]
