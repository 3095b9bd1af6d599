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
    return function  # type: ignore[no-any-return]
