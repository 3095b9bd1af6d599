"""The function that `setpoint evaluate --policy MODULE:FUNCTION` names."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from setpoint.errors import InputError, shown


def load_function(name: str) -> Callable[[Any], Any]:
    """Import the function; modules of the current folder are found too.

    Raises:
        InputError: the name is not MODULE:FUNCTION, the import fails, or it is no function.
    """
    module_name, colon, function_name = name.partition(":")
    parts = (*module_name.split("."), function_name)
    if not colon or not all(part.isidentifier() for part in parts):
        raise InputError(f"--policy must be MODULE:FUNCTION, as in my_policies:ppo, got {shown(name)}.")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module of the user may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"cannot import module {module_name!r} of --policy: {reason}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"module {module_name!r} has no function {function_name!r}. Define it there.")
    return _guarded(function, name)


def _guarded(function: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """Return the function with its exceptions as input errors."""

    def guarded(observation: Any) -> Any:
        try:
            return function(observation)
        except Exception as error:  # a function of the user may raise anything
            raise InputError(
                f"{name} of --policy raises {type(error).__name__}: {error}. It must take one observation, the state "
                f"and the share of the horizon that is left, such as {shown(observation)}."
            ) from error

    return guarded
