"""The optimal-control problem of a plant: a quadratic cost over a horizon, a target, an initial set."""

import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from setpoint.arguments import is_number
from setpoint.display import html_table
from setpoint.errors import InputError, collect, shown
from setpoint.fingerprint import file_digest
from setpoint.formatting import counted
from setpoint.modes import CLOSED_LOOP_REPLANNING, EvaluationMode
from setpoint.plants import Plant, components_of
from setpoint.seeding import generator

STATE_DECIMALS = 4
"""Decimals to which initial states are rounded, so that a prompt prints them exactly."""

_MODES = " or ".join(EvaluationMode)
_ROUNDING = 1e-9
_LARGEST_DRIFT = 1e-3
"""Largest uncontrolled drift from the target over the horizon, as a share of the half width."""


@dataclass(frozen=True)
class Problem:
    """Steer `plant` from an initial state to `target` in `steps` grid intervals at minimum cost.

    J = sum_{k<N} (e_k' Q e_k + u_k' R u_k) + terminal_weight e_N' Q e_N with e = x − target, Q and R diagonal.

    Attributes:
        plant: the dynamics, their grid and bounds.
        steps: N.
        q: diagonal of Q, (n_x,).
        r: diagonal of R, (n_u,).
        terminal_weight: factor of Q in the terminal cost.
        target: x*, an equilibrium of the plant with zero control, (n_x,).
        half_width: half widths of the box of initial states, (n_x,).
        centre: centre of that box, (n_x,); default: the target.
        evaluation_mode: primary evaluation mode; `closed_loop` for plants that are unstable in open loop, where an
            open-loop result carries no information.
        open_loop: whether open loop is evaluated at all.
        detuned_gain: factor on the LQR gain of the deliberately detuned expert.
        starts: number of initial guesses of the solver. More than one means that local optima are known; the solution
            is then called the best known, not the optimum.
    """

    plant: Plant
    steps: int
    q: tuple[Any, ...]
    r: tuple[Any, ...]
    terminal_weight: Any
    target: tuple[float, ...]
    half_width: tuple[float, ...]
    evaluation_mode: EvaluationMode = EvaluationMode.OPEN_LOOP
    open_loop: bool = True
    detuned_gain: float = 0.5
    centre: tuple[float, ...] | None = None
    starts: int = 1

    def __post_init__(self) -> None:
        """Reject ill-posed problems, with all errors at once."""
        self._require_types()
        plant = self.plant
        counts = {"steps": self.steps, "starts": self.starts}
        wrong = [
            InputError(f"{self.name}: {field} must be an integer of at least 1, got {count}.")
            for field, count in counts.items()
            if type(count) is not int or count < 1
        ]
        if self.evaluation_mode not in list(EvaluationMode):
            wrong.append(InputError(f"{self.name}: evaluation_mode must be {_MODES}, got {self.evaluation_mode!r}."))
        elif self.evaluation_mode == EvaluationMode.OPEN_LOOP and not self.open_loop:
            wrong.append(InputError(f"{self.name}: evaluation_mode open_loop requires open_loop=True, got False."))
        for signal in (*plant.states, *plant.controls):
            if not (math.isfinite(signal.lower) and math.isfinite(signal.upper) and signal.lower < signal.upper):
                wrong.append(
                    InputError(
                        f"{self.name}: the bounds of {signal.name} must be finite and in order, got {signal.lower:g} "
                        f"and {signal.upper:g}. Set the widest meaningful ones."
                    )
                )
        lengths = {"q": plant.n_x, "target": plant.n_x, "half_width": plant.n_x, "r": plant.n_u}
        if self.centre is not None:
            lengths["centre"] = plant.n_x
        for field, length in lengths.items():
            values = getattr(self, field)
            if len(values) != length:
                needed = counted(length, "value")
                wrong.append(InputError(f"{self.name}: {field} must have {needed}, got {len(values)}."))
            elif not _finite(values):
                wrong.append(InputError(f"{self.name}: {field} must be finite, got {values}."))
        if not _finite((self.terminal_weight,)):
            wrong.append(InputError(f"{self.name}: terminal_weight must be finite, got {self.terminal_weight}."))
        if any(value <= 0 for value in _numbers(self.half_width)):
            wrong.append(InputError(f"{self.name}: half_width must be positive, got {self.half_width}."))
        if any(value < 0 for value in _numbers((*self.q, *self.r, self.terminal_weight))):
            wrong.append(InputError(f"{self.name}: the weights q, r and terminal_weight must not be negative."))
        collect(wrong)
        object.__setattr__(
            self, "evaluation_mode", EvaluationMode(self.evaluation_mode)
        )  # a plug-in may pass a plain string

    def _require_types(self) -> None:
        """Check what the fields are.

        Raises:
            InputError: the plant is none, or fields are not numbers, arrays of a batch or CasADi symbols.
        """
        plant: object = self.plant
        open_loop: object = self.open_loop
        if not isinstance(plant, Plant):
            raise InputError(f"plant must be a Plant, got {shown(plant)}.")
        if not hasattr(plant, "__dataclass_fields__"):
            raise InputError(
                f"the class of a plant must be a dataclass, and {type(plant).__name__} is none. Decorate it with "
                "@dataclass(frozen=True)."
            )
        wrong = []
        vectors = ("q", "r", "target", "half_width", *(() if self.centre is None else ("centre",)))
        for field in vectors:
            values: object = getattr(self, field)
            if not isinstance(values, list | tuple | np.ndarray):
                length = counted(plant.n_u if field == "r" else plant.n_x, "number")
                wrong.append(InputError(f"{self.name}: {field} must be a tuple of {length}, got {shown(values)}."))
            elif not all(map(_is_component, values)):
                wrong.append(InputError(f"{self.name}: {field} must be numeric, got {shown(values)}."))
        for field in ("terminal_weight", "detuned_gain"):
            if not _is_component(getattr(self, field)):
                wrong.append(InputError(f"{self.name}: {field} must be a number, got {shown(getattr(self, field))}."))
        if not isinstance(open_loop, bool):
            wrong.append(InputError(f"{self.name}: open_loop must be True or False, got {shown(self.open_loop)}."))
        collect(wrong)

    def require_sound(self) -> None:
        """Check target and initial set against the plant; separate from `__init__`, where parameters may be symbols.

        Raises:
            InputError: the initial set exceeds the state bounds, or the target is not an equilibrium at zero control.
        """
        plant, wrong = self.plant, list[InputError]()
        for signal, centre, width in zip(plant.states, self.initial_centre, self.half_width, strict=True):
            if not (signal.lower - _ROUNDING <= centre - width and centre + width <= signal.upper + _ROUNDING):
                wrong.append(
                    InputError(
                        f"{self.name}: initial states must lie within the state bounds, but {signal.name} starts in "
                        f"{centre - width:g} … {centre + width:g} and its bounds are {signal.lower:g} and "
                        f"{signal.upper:g}. Reduce half_width or move centre."
                    )
                )
        for signal in plant.controls:
            if not signal.lower <= 0.0 <= signal.upper:
                wrong.append(
                    InputError(
                        f"{self.name}: the bounds of {signal.name} must include 0, the control at the target, got "
                        f"{signal.lower:g} and {signal.upper:g}. Define the control as the deviation from its "
                        "equilibrium value."
                    )
                )
        if not any(weight > 0 for weight in _numbers(self.q)) and len(_numbers(self.q)) == len(self.q):
            wrong.append(InputError(f"{self.name}: at least one weight in q must be positive."))
        slopes = plant.checked_derivative(0.0, self.target, (0.0,) * plant.n_u, np)
        for signal, slope, width in zip(plant.states, slopes, self.half_width, strict=False):
            # `not <=` rather than `>`, so that NaN is rejected too.
            if _numbers((slope,)) and not abs(slope) * self.horizon_s <= _LARGEST_DRIFT * width:
                wrong.append(
                    InputError(
                        f"{self.name}: the target must be an equilibrium at zero control, but {signal.name} drifts "
                        f"there at {slope:g} {signal.unit} per second. Move the target, or define the controls as "
                        "deviations from their equilibrium values."
                    )
                )
        collect(wrong)

    @property
    def name(self) -> str:
        """Name of the plant, also the name of the problem."""
        return self.plant.name

    def _repr_html_(self) -> str:
        signals = [*zip(self.plant.states, self.target, strict=True), *((each, 0.0) for each in self.plant.controls)]
        described = [f"{each.name} [{each.unit}]: {each.lower:g} … {each.upper:g}, target {x:g}" for each, x in signals]
        box = zip(self.plant.states, self.initial_centre, self.half_width, strict=True)
        rows = [
            *(("state", text) for text in described[: self.plant.n_x]),
            *(("control", text) for text in described[self.plant.n_x :]),
            ("initial set", ", ".join(f"{each.name} {mid - half:g} … {mid + half:g}" for each, mid, half in box)),
            ("horizon", f"{self.steps} steps of {self.plant.dt_s:g} s"),
            ("weights", f"Q = diag{tuple(self.q)}, R = diag{tuple(self.r)}, terminal {self.terminal_weight:g} Q"),
            ("evaluation mode", str(self.evaluation_mode)),
        ]
        return html_table(f"{self.name}: {self.plant.title}", ("", ""), rows)

    @property
    def horizon_s(self) -> float:
        """Length of the horizon in seconds."""
        return self.steps * self.plant.dt_s

    def state_cost(self, x: Sequence[Any]) -> Any:
        """Compute e' Q e for state components `x`."""
        return sum(weight * (xi - goal) ** 2 for weight, xi, goal in zip(self.q, x, self.target, strict=True))

    def control_cost(self, u: Sequence[Any]) -> Any:
        """Compute u' R u for control components `u`."""
        return sum(weight * ui**2 for weight, ui in zip(self.r, u, strict=True))

    def cost(
        self, states: Float[np.ndarray, "*batch nodes n_x"], controls: Float[np.ndarray, "*batch steps n_u"]
    ) -> Float[np.ndarray, "*batch"]:
        """Compute J of applied controls, over the whole horizon or a leading part of it; with the terminal cost."""
        terminal = self.terminal_weight * self.state_cost(components_of(states[..., -1, :]))
        return np.asarray(self.running_cost(states, controls) + terminal)

    def running_cost(
        self, states: Float[np.ndarray, "*batch nodes n_x"], controls: Float[np.ndarray, "*batch steps n_u"]
    ) -> Float[np.ndarray, "*batch"]:
        """Compute the cost of all steps without the terminal cost."""
        along_states = self.state_cost(components_of(states[..., :-1, :]))
        along_controls = self.control_cost(components_of(controls))
        return np.asarray((along_states + along_controls).sum(axis=-1))

    @property
    def initial_centre(self) -> Float[np.ndarray, " n_x"]:
        """Centre of the initial set."""
        return np.array(self.target if self.centre is None else self.centre)

    @property
    def optimum_label(self) -> str:
        """Label of a certified solution: `global optimum`, `optimum` or `best known`.

        A convex problem has no other optimum. A nonlinear one has no known other, unless it needs several starts.
        """
        if self.plant.linear:
            return "global optimum"
        return "optimum" if self.starts == 1 else "best known"

    def as_states(self, x: ArrayLike, name: str, *, batch: bool = True) -> tuple[Float[np.ndarray, "B n_x"], bool]:
        """Return `x`, one state (n_x,) or a batch (B, n_x), as a batch, and whether it was one state.

        Args:
            name: the caller's name of this argument, for messages.
            batch: whether a batch is allowed.

        Raises:
            InputError: `x` has another shape or non-finite values.
        """
        n_x, names = self.plant.n_x, ", ".join(signal.name for signal in self.plant.states)
        expected = f"of shape ({n_x},){f' or (B, {n_x})' if batch else ''}: {names}"
        try:
            states = np.asarray(x, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must be numeric, {expected}; got {shown(x)}.") from error
        if states.ndim not in ({1, 2} if batch else {1}) or states.shape[-1] != n_x:
            raise InputError(f"{name} must be {expected}; got shape {states.shape}.")
        if not np.isfinite(states).all():
            raise InputError(f"{name} must be finite, but contains NaN or infinite values.")
        return np.atleast_2d(states), states.ndim == 1

    def require_initial(self, states: Float[np.ndarray, "B n_x"]) -> None:
        """Check that `states` are finite and in the initial set, up to rounding.

        Raises:
            InputError: a state is not.
        """
        beyond = np.abs(states - self.initial_centre) - np.array(self.half_width)
        wrong = ~(beyond <= 10.0**-STATE_DECIMALS).all(axis=-1)
        if wrong.any():
            box = ", ".join(
                f"{signal.name} {centre - width:g} … {centre + width:g}"
                for signal, centre, width in zip(self.plant.states, self.initial_centre, self.half_width, strict=True)
            )
            raise InputError(
                f"initial states of {self.name} must lie in its initial set ({box}), got {states[wrong][0].tolist()}."
            )

    def initial_states(self, count: int, *seed: str | int) -> Float[np.ndarray, "count n_x"]:
        """Draw `count` states uniformly from the initial set; state i depends only on `seed` and i."""
        # One generator per state, so that a longer draw begins with the shorter one.
        unit = np.array([generator(*seed, self.name, i).uniform(-1.0, 1.0, len(self.target)) for i in range(count)])
        states = self.initial_centre + unit.reshape(count, -1) * np.array(self.half_width)
        return np.asarray(np.round(states, STATE_DECIMALS))

    def definition(self) -> dict[str, object]:
        """Return every number that defines the problem, for identities, and the source digest of a third-party plant.

        The identity of every stage already covers the sources of this package.
        """
        plant = self.plant
        return {
            "plant": plant.name,
            "coefficients": dict(plant.coefficients),
            "dt_s": plant.dt_s,
            "substeps": plant.substeps,
            "state_bounds": [[signal.lower, signal.upper] for signal in plant.states],
            "control_bounds": [[signal.lower, signal.upper] for signal in plant.controls],
            "steps": self.steps,
            "q": list(self.q),
            "r": list(self.r),
            "terminal_weight": self.terminal_weight,
            "target": list(self.target),
            "half_width": list(self.half_width),
            # Optional keys: left out at their defaults, so that the identities of other problems do not change.
            **({} if plant.coefficients else {"parameters": dict(plant.parameters)}),
            **({} if self.centre is None else {"centre": list(self.centre)}),
            **({} if self.starts == 1 else {"starts": self.starts}),
            **({} if self.built_in else {"source": _source_digest(type(plant))}),
        }

    @property
    def built_in(self) -> bool:
        """Whether the plant is defined in this package."""
        return type(self.plant).__module__.partition(".")[0] == "setpoint"


def reward_horizon(problems: Iterable[Problem]) -> int:
    """Return the number of steps that a reward scores when one model serves `problems`; 0 means the whole answer.

    In closed loop only the first steps of an answer are applied; scoring the rest adds noise, most of all for unstable
    plants. Whole answers are scored if every problem is evaluated in open loop, and also if a problem has local optima:
    there the cost-to-go of a linear regulator is a poor estimate for the remaining steps.
    """
    all_problems = list(problems)
    whole = all(problem.evaluation_mode is EvaluationMode.OPEN_LOOP for problem in all_problems) or any(
        problem.starts > 1 for problem in all_problems
    )
    return 0 if whole else CLOSED_LOOP_REPLANNING


def _source_digest(kind: type) -> str:
    """Digest the file that defines a class; a class typed into an interpreter has no file and is known by its name."""
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):  # typed into an interpreter, or into a notebook
        file = None
    return kind.__qualname__ if file is None else file_digest(Path(file))


def _is_component(value: Any) -> bool:
    """Return whether `value` is a number, an array of a batch, or a CasADi symbol."""
    return is_number(value) or isinstance(value, np.ndarray) or hasattr(value, "is_symbolic")


def _finite(values: Sequence[Any]) -> bool:
    """Return whether the numbers among `values` are finite; CasADi symbols pass."""
    return all(math.isfinite(value) for value in _numbers(values))


def _numbers(values: Sequence[Any]) -> list[float]:
    return [value for value in values if isinstance(value, float | int)]
