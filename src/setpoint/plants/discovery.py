"""Plants from other packages: the entry-point group `setpoint.systems`.

An entry point is named after its plant and leads to a `setpoint.problems.Problem`, or to a function without arguments
that returns one. A plug-in that cannot be used is kept with the reason, and the others work all the same.
"""

import json
import re
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

import numpy as np

from setpoint.errors import InputError, shown, unknown_name
from setpoint.plants.linearisation import linearise
from setpoint.plants.plant import Plant
from setpoint.plants.symbolic import require_symbolic

GROUP = "setpoint.systems"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBERS = (int, float, np.float64, np.int64)
_STEEPEST = 1e9


@dataclass(frozen=True)
class Plugins:
    """What the installed packages bring.

    Attributes:
        problems: by the name of their plant.
        broken: why each of the others cannot be used, by the name of its entry point.
    """

    problems: MappingProxyType[str, Any]
    broken: MappingProxyType[str, str]


@cache
def load_plugins(taken: frozenset[str]) -> Plugins:
    """Load every entry point of the group once; names and short names in `taken` belong to the shipped plants."""
    problems: dict[str, Any] = {}
    broken: dict[str, str] = {}
    used = set(taken)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            with redirect_stdout(sys.stderr):  # stdout is for data
                problem = _load(point, used)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's module does on import, the others shall work
            broken[point.name] = " ".join(f"{point.value}: {type(error).__name__}: {error}".split())
            continue
        problems[point.name] = problem
        used |= {problem.plant.name, problem.plant.short_name}
    return Plugins(MappingProxyType(problems), MappingProxyType(broken))


def _load(point: EntryPoint, used: set[str]) -> Any:
    loaded = point.load()
    problem = loaded() if callable(loaded) else loaded
    plant = getattr(problem, "plant", None)
    if not isinstance(plant, Plant):
        raise InputError("the entry point must lead to a Problem with a Plant, or to a function that returns one.")
    if plant.name != point.name:
        raise InputError(f"the entry point must be named after its plant, {plant.name!r}.")
    require_usable(problem, used)
    return problem


def require_usable(problem: Any, taken: set[str]) -> None:
    """Try everything that commands use, so that a problem that lacks some of it fails here and not half-way.

    Args:
        taken: names and short names of other systems.

    Raises:
        InputError: the first thing that is wrong.
    """
    plant = getattr(problem, "plant", None)
    if not isinstance(plant, Plant):
        raise InputError(f"a system must be a Problem with a Plant, but is {shown(problem)}.")
    clash = taken & {getattr(plant, "name", None), getattr(plant, "short_name", None)}
    if clash:
        raise InputError(f"another system is called {sorted(map(str, clash))[0]!r} already. Choose another name.")
    _require_words(plant)
    _require_numbers(problem)
    json.dumps(problem.definition(), allow_nan=False)
    problem.require_sound()
    for name, interval in plant.family.items():
        if name not in plant.parameters:
            raise unknown_name("parameter in family", name, plant.parameters)
        nominal = plant.parameters[name]
        if not interval.low <= nominal <= interval.high or interval.holds_out(nominal):
            raise InputError(
                f"the nominal {name} must lie in its family and outside of the held-out range, but is {nominal:g}."
            )
    if len(plant.equations) != plant.n_x:
        raise InputError(f"there must be {plant.n_x} equations, one for every state, but there are {plant.equations}.")
    slopes = plant.derivative(0.0, tuple(problem.target), (0.0,) * plant.n_u, np)
    if len(slopes) != plant.n_x or not np.isfinite(slopes).all():
        raise InputError(
            f"derivative must give {plant.n_x} finite numbers at the target without control, but gives {slopes}."
        )
    require_symbolic(plant)
    _require_smooth(problem)


def _require_words(plant: Plant) -> None:
    """Names become names of folders, and lists of them have commas; `title` and `source` are in every data sheet."""
    for attribute in ("name", "short_name"):
        word = getattr(plant, attribute, None)
        if not (isinstance(word, str) and _NAME.fullmatch(word)):
            raise InputError(f"{attribute} must be small letters, digits and underscores, but is {word!r}.")
    for attribute in ("title", "source"):
        if not isinstance(getattr(plant, attribute, None), str):
            raise InputError(f"the plant must have a text called {attribute}.")


def _require_numbers(problem: Any) -> None:
    """Parameters are varied and printed, and weights are summed: both are numbers."""
    plant = problem.plant
    named: dict[str, tuple[Any, ...]]
    named = {f"parameter {name}": (value,) for name, value in {**plant.parameters, "dt_s": plant.dt_s}.items()}
    named |= {field: getattr(problem, field) for field in ("q", "r", "target", "half_width")}
    named |= {"centre": problem.centre or (), "terminal_weight": (problem.terminal_weight,)}
    for field, values in named.items():
        if not all(type(value) in _NUMBERS for value in values):
            raise InputError(f"{field} must be made of numbers, but is {values[0] if len(values) == 1 else values!r}.")
    params = getattr(type(plant), "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise InputError("a plant must be a frozen dataclass: write @dataclass(frozen=True) above the class.")


def _require_smooth(problem: Any) -> None:
    plant, rule = problem.plant, "Write it with the functions of xp, such as xp.sin, and without abs or max on states."
    try:
        slopes = np.hstack(linearise(plant, np.array(problem.target), np.zeros(plant.n_u)))
    except Exception as error:
        raise InputError(
            f"derivative must accept complex numbers, but on them it raises {type(error).__name__}: {error}. {rule}"
        ) from error
    if not (np.abs(slopes) < _STEEPEST).all():  # false for what is no number, too
        raise InputError(
            f"the dynamics must have derivatives at the target, but one of them there is {np.abs(slopes).max():.3g}. "
            "Move the target to where they are smooth."
        )
