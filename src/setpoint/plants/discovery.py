"""Plants from other packages: the entry-point group `setpoint.systems`.

An entry point is named after its plant and leads to a `setpoint.problems.Problem`, or to a function without arguments
that returns one. A plug-in that fails to load is listed with the reason and does not affect the others.
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
_LONGEST_TEXT = 200
_NUMBERS = (int, float, np.float64, np.int64)
_STEEPEST = 1e9
_TINY, _SMALL, _FAR = 1e-30, 1e-6, 0.37
"""Shares of the half width: complex step, one-sided differences, and the distance that shows how large a change is."""
_KINK, _ROUNDING = 0.01, 1e-6
"""Tolerance of a slope as a share of its own size, and of the largest one."""


@dataclass(frozen=True)
class Plugins:
    """Systems provided by installed packages.

    Attributes:
        problems: plant name -> problem.
        broken: entry-point name -> reason why it cannot be used.
    """

    problems: MappingProxyType[str, Any]
    broken: MappingProxyType[str, str]


@cache
def load_plugins(taken: frozenset[str]) -> Plugins:
    """Load every entry point of the group once. `taken` holds the names and short names of the shipped plants."""
    problems: dict[str, Any] = {}
    broken: dict[str, str] = {}
    used = set(taken)
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        try:
            with redirect_stdout(sys.stderr):  # stdout is for data
                problem = _load(point, used)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # third-party code may raise anything on import, even SystemExit
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
        raise InputError("the entry point must refer to a Problem with a Plant, or to a function that returns one.")
    if plant.name != point.name:
        raise InputError(f"the entry point must be named after its plant, {plant.name!r}.")
    require_usable(problem, used)
    return problem


def require_usable(problem: Any, taken: set[str]) -> None:
    """Check everything that the commands rely on, so that an unusable problem fails here and not mid-run.

    Args:
        taken: names and short names of other systems.

    Raises:
        InputError: the first check that fails.
    """
    plant = getattr(problem, "plant", None)
    if not isinstance(plant, Plant):
        raise InputError(f"a system must be a Problem with a Plant, got {shown(problem)}.")
    clash = taken & {getattr(plant, "name", None), getattr(plant, "short_name", None)}
    if clash:
        raise InputError(f"the name {sorted(map(str, clash))[0]!r} is taken by another system. Choose another one.")
    _require_texts(plant)
    _require_numbers(problem)
    json.dumps(problem.definition(), allow_nan=False)
    problem.require_sound()
    for name, interval in plant.family.items():
        if name not in plant.parameters:
            raise unknown_name("parameter in family", name, plant.parameters)
        nominal = plant.parameters[name]
        if not interval.low <= nominal <= interval.high or interval.holds_out(nominal):
            raise InputError(
                f"the nominal {name} must lie in its family and outside the held-out range, got {nominal:g}."
            )
    if len(plant.equations) != plant.n_x:
        raise InputError(f"equations must have {plant.n_x} entries, one per state, got {plant.equations}.")
    require_symbolic(plant)
    _require_smooth(problem)


def _require_texts(plant: Plant) -> None:
    """Check the names, which become folder names and comma-separated lists, and the texts that reports print."""
    for attribute in ("name", "short_name"):
        value = getattr(plant, attribute, None)
        if not (isinstance(value, str) and _NAME.fullmatch(value)):
            raise InputError(
                f"{attribute} must consist of lowercase letters, digits and underscores, starting with a letter, got "
                f"{value!r}."
            )
    for attribute in ("title", "source"):
        value = getattr(plant, attribute, None)
        if not isinstance(value, str):
            raise InputError(f"the plant needs a string attribute `{attribute}`.")
        _require_line(attribute, value)
    for signal in (*plant.states, *plant.controls):
        _require_line("name of a signal", signal.name)
        _require_line("unit of a signal", signal.unit)


def _require_line(what: str, text: str) -> None:
    """Check that a text of a plug-in, which goes to terminals, pages and prompts, is one line of printable characters.

    Raises:
        InputError: it is not; control characters could rewrite what a terminal shows.
    """
    if len(text) > _LONGEST_TEXT or not text.isprintable():
        raise InputError(f"{what} must be one line of at most {_LONGEST_TEXT} printable characters, got {shown(text)}.")


def _require_numbers(problem: Any) -> None:
    """Check that parameters, which are varied and printed, and weights, which are summed, are plain numbers."""
    plant = problem.plant
    named: dict[str, tuple[Any, ...]]
    named = {f"parameter {name}": (value,) for name, value in {**plant.parameters, "dt_s": plant.dt_s}.items()}
    named |= {field: getattr(problem, field) for field in ("q", "r", "target", "half_width")}
    named |= {"centre": problem.centre or (), "terminal_weight": (problem.terminal_weight,)}
    for field, values in named.items():
        if not all(type(value) in _NUMBERS for value in values):
            raise InputError(f"{field} must be numeric, got {values[0] if len(values) == 1 else values!r}.")
    params = getattr(type(plant), "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise InputError("a plant must be a frozen dataclass. Decorate the class with @dataclass(frozen=True).")


def _require_smooth(problem: Any) -> None:
    plant, remedy = problem.plant, "Use the functions of xp, such as xp.sin, and avoid abs and max on states."
    try:
        slopes = np.hstack(linearise(plant, np.array(problem.target), np.zeros(plant.n_u)))
    except Exception as error:
        raise InputError(
            f"derivative must accept complex numbers, but raises {type(error).__name__}: {error}. {remedy}"
        ) from error
    if not (np.abs(slopes) < _STEEPEST).all():  # `not <` also catches NaN
        raise InputError(
            f"the dynamics must be differentiable at the target, but a derivative there is {np.abs(slopes).max():.3g}. "
            "Move the target to a point where they are smooth."
        )
    _require_no_kink(problem)


def _require_no_kink(problem: Any) -> None:
    """Compare the slopes on both sides of the target with the complex step, which ignores abs, max and the like.

    Raises:
        InputError: they differ, in a state or a control.
    """
    plant, n_x = problem.plant, problem.plant.n_x
    centre = np.concatenate([problem.target, np.zeros(plant.n_u)])
    widths = np.concatenate([problem.half_width, (plant.control_upper - plant.control_lower) / 2])

    def slopes(point: np.ndarray) -> np.ndarray:
        return np.array([complex(each) for each in plant.derivative(0.0, tuple(point[:n_x]), tuple(point[n_x:]), np)])

    there = slopes(centre).real
    for number, signal in enumerate((*plant.states, *plant.controls)):
        shift = np.where(np.arange(len(centre)) == number, widths, 0.0)
        exact = slopes(centre + 1j * _TINY * shift).imag / _TINY
        right = (slopes(centre + _SMALL * shift).real - there) / _SMALL
        left = (there - slopes(centre - _SMALL * shift).real) / _SMALL
        with np.errstate(all="ignore"):
            far = np.nan_to_num(slopes(centre + _FAR * shift).real - there, posinf=0.0, neginf=0.0)
        size = np.abs([exact, right, left, far]).max(axis=0)
        wrong = np.maximum(np.abs(right - exact), np.abs(left - exact)) > _KINK * size + _ROUNDING * size.max()
        if wrong.any():
            raise InputError(
                f"the dynamics must be smooth at the target, but the derivative of {plant.states[wrong.argmax()].name} "
                f"has a kink in {signal.name} there. Replace abs, max and min by smooth forms, such as "
                "xp.sqrt(x**2 + 0.01) for abs(x)."
            )
