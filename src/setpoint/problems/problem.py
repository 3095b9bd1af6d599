"""What is asked of a plant: a quadratic cost over a horizon, a target, an initial set."""

import inspect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from setpoint.errors import InputError, collect, shown
from setpoint.fingerprint import file_digest
from setpoint.modes import CLOSED_LOOP_REPLANNING, EvaluationMode
from setpoint.plants import Plant, components_of
from setpoint.seeding import generator

STATE_DECIMALS = 4
"""Initial states are rounded to this many decimals, so that a prompt states them exactly."""

_MODES = " or ".join(EvaluationMode)
_ROUNDING = 1e-9
_LARGEST_DRIFT = 1e-3
"""How far a plant may drift from the target over the horizon without control, as a share of the half width."""


@dataclass(frozen=True)
class Problem:
    """Steer `plant` from an initial state to `target` in `steps` grid intervals at least cost.

    J = sum_{k<N} (e_k' Q e_k + u_k' R u_k) + terminal_weight e_N' Q e_N with e = x − target, Q and R diagonal.

    Attributes:
        plant: the dynamics, their grid and bounds.
        steps: N.
        q: diagonal of Q, (n_x,).
        r: diagonal of R, (n_u,).
        terminal_weight: factor of Q at the end.
        target: x*, an equilibrium of the plant with zero control, (n_x,).
        half_width: of the box of initial states, (n_x,).
        centre: of that box, (n_x,); the target where none is given.
        evaluation_mode: the primary one; `closed_loop` for plants that are unstable in open loop, where an open-loop
            answer says nothing.
        open_loop: whether open loop is evaluated at all.
        detuned_gain: share of the LQR gain that the deliberately imperfect expert uses.
        starts: from how many guesses the optimum is sought. More than one says that local optima are known: then what
            is found is the best known solution, and nothing more.
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
        """Refuse, all at once, what cannot be asked."""
        plant = self.plant
        wrong: list[InputError] = []
        if not all(type(count) is int and count >= 1 for count in (self.steps, self.starts)):
            wrong.append(
                InputError(
                    f"{self.name}: horizon and starts must be at least 1 and whole numbers, but are {self.steps} and "
                    f"{self.starts}."
                )
            )
        if self.evaluation_mode not in list(EvaluationMode):
            wrong.append(InputError(f"{self.name}: evaluation_mode must be {_MODES}, but is {self.evaluation_mode!r}."))
        elif self.evaluation_mode == EvaluationMode.OPEN_LOOP and not self.open_loop:
            wrong.append(
                InputError(
                    f"{self.name}: open loop as the primary evaluation mode needs open_loop=True, but has False."
                )
            )
        for signal in (*plant.states, *plant.controls):
            if not (math.isfinite(signal.lower) and math.isfinite(signal.upper) and signal.lower < signal.upper):
                wrong.append(
                    InputError(
                        f"{self.name}: the bounds of {signal.name} must be finite and in order, but are "
                        f"{signal.lower:g} and {signal.upper:g}. Give the widest that make sense."
                    )
                )
        lengths = {"q": plant.n_x, "target": plant.n_x, "half_width": plant.n_x, "r": plant.n_u}
        if self.centre is not None:
            lengths["centre"] = plant.n_x
        for field, length in lengths.items():
            values = getattr(self, field)
            if len(values) != length:
                wrong.append(InputError(f"{self.name}: {field} must have {length} values, but has {len(values)}."))
            elif not _finite(values):
                wrong.append(InputError(f"{self.name}: {field} must be finite numbers, but is {values}."))
        if not _finite((self.terminal_weight,)):
            wrong.append(InputError(f"{self.name}: terminal_weight must be a finite number, but is nan or infinite."))
        if any(value <= 0 for value in _numbers(self.half_width)):
            wrong.append(InputError(f"{self.name}: half_width must be positive, but is {self.half_width}."))
        if any(value < 0 for value in _numbers((*self.q, *self.r, self.terminal_weight))):
            wrong.append(InputError(f"{self.name}: the weights q, r and terminal_weight must not be negative."))
        collect(wrong)
        object.__setattr__(
            self, "evaluation_mode", EvaluationMode(self.evaluation_mode)
        )  # a plug-in may write the word

    def require_sound(self) -> None:
        """Check that target and initial set suit the plant: what a family of symbols cannot be asked when it is made.

        Raises:
            InputError: the initial set leaves the state bounds, or the target is no equilibrium without control.
        """
        plant, wrong = self.plant, list[InputError]()
        for signal, centre, width in zip(plant.states, self.initial_centre, self.half_width, strict=True):
            if not (signal.lower - _ROUNDING <= centre - width and centre + width <= signal.upper + _ROUNDING):
                wrong.append(
                    InputError(
                        f"{self.name}: initial states must lie within the state bounds, but {signal.name} starts in "
                        f"{centre - width:g} … {centre + width:g}, and its bounds are {signal.lower:g} and "
                        f"{signal.upper:g}. Lower half_width or move centre."
                    )
                )
        for signal in plant.controls:
            if not signal.lower <= 0.0 <= signal.upper:
                wrong.append(
                    InputError(
                        f"{self.name}: the bounds of {signal.name} must allow 0, which holds the target, but are "
                        f"{signal.lower:g} and {signal.upper:g}. Count the control from the one that holds it."
                    )
                )
        if not any(weight > 0 for weight in _numbers(self.q)) and len(_numbers(self.q)) == len(self.q):
            wrong.append(InputError(f"{self.name}: at least one weight in q must be above 0, or nothing is asked."))
        slopes = plant.derivative(0.0, self.target, (0.0,) * plant.n_u, np)
        for signal, slope, width in zip(plant.states, slopes, self.half_width, strict=False):
            # Written so that a slope that is no number is refused too.
            if _numbers((slope,)) and not abs(slope) * self.horizon_s <= _LARGEST_DRIFT * width:
                wrong.append(
                    InputError(
                        f"{self.name}: the target must be an equilibrium without control, but {signal.name} changes "
                        f"there at {slope:g} {signal.unit} per second. Move the target, or count controls from the "
                        "ones that hold it."
                    )
                )
        collect(wrong)

    @property
    def name(self) -> str:
        """The name of the plant, which is the name of the problem."""
        return self.plant.name

    @property
    def horizon_s(self) -> float:
        """Length of the horizon in seconds."""
        return self.steps * self.plant.dt_s

    def state_cost(self, x: Sequence[Any]) -> Any:
        """e' Q e for state components `x`."""
        return sum(weight * (xi - goal) ** 2 for weight, xi, goal in zip(self.q, x, self.target, strict=True))

    def control_cost(self, u: Sequence[Any]) -> Any:
        """u' R u for control components `u`."""
        return sum(weight * ui**2 for weight, ui in zip(self.r, u, strict=True))

    def cost(
        self, states: Float[np.ndarray, "*batch nodes n_x"], controls: Float[np.ndarray, "*batch steps n_u"]
    ) -> Float[np.ndarray, "*batch"]:
        """J of applied controls, for trajectories over the whole horizon or a leading part with its terminal cost."""
        terminal = self.terminal_weight * self.state_cost(components_of(states[..., -1, :]))
        return np.asarray(self.running_cost(states, controls) + terminal)

    def running_cost(
        self, states: Float[np.ndarray, "*batch nodes n_x"], controls: Float[np.ndarray, "*batch steps n_u"]
    ) -> Float[np.ndarray, "*batch"]:
        """The cost of all steps without the terminal cost."""
        along_states = self.state_cost(components_of(states[..., :-1, :]))
        along_controls = self.control_cost(components_of(controls))
        return np.asarray((along_states + along_controls).sum(axis=-1))

    @property
    def initial_centre(self) -> Float[np.ndarray, " n_x"]:
        """The middle of the initial set."""
        return np.array(self.target if self.centre is None else self.centre)

    @property
    def optimum_word(self) -> str:
        """What a certified solution may be called, namely `global optimum`, `optimum` or `best known`.

        A convex problem has no other optimum; a nonlinear one has none that is known, unless it takes several starts.
        """
        if self.plant.linear:
            return "global optimum"
        return "optimum" if self.starts == 1 else "best known"

    def as_states(self, x: ArrayLike, name: str) -> tuple[Float[np.ndarray, "B n_x"], bool]:
        """`x`, one state (n_x,) or a batch (B, n_x), as a batch; and whether it was one state.

        Args:
            name: what the caller calls this argument.

        Raises:
            InputError: it has another shape, or values that are not finite numbers.
        """
        n_x, names = self.plant.n_x, ", ".join(signal.name for signal in self.plant.states)
        right = f"of shape ({n_x},) or (B, {n_x}): {names}"
        try:
            states = np.asarray(x, dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} must hold numbers {right}, but is {shown(x)}.") from error
        if states.ndim not in {1, 2} or states.shape[-1] != n_x:
            raise InputError(f"{name} must be {right}, but has shape {states.shape}.")
        if not np.isfinite(states).all():
            raise InputError(f"{name} must be finite, but holds NaN or infinite values.")
        return np.atleast_2d(states), states.ndim == 1

    def require_initial(self, states: Float[np.ndarray, "B n_x"]) -> None:
        """Check that `states` are finite and in the initial set (to rounding).

        Raises:
            InputError: one is not.
        """
        beyond = np.abs(states - self.initial_centre) - np.array(self.half_width)
        wrong = ~(beyond <= 10.0**-STATE_DECIMALS).all(axis=-1)
        if wrong.any():
            box = ", ".join(
                f"{signal.name} {centre - width:g} … {centre + width:g}"
                for signal, centre, width in zip(self.plant.states, self.initial_centre, self.half_width, strict=True)
            )
            raise InputError(
                f"initial states of {self.name} must lie in its initial set ({box}), but {states[wrong][0].tolist()} "
                "does not."
            )

    def initial_states(self, count: int, *seed: str | int) -> Float[np.ndarray, "count n_x"]:
        """`count` states drawn evenly from the initial set; state i depends on `seed` and i alone."""
        unit = np.array([generator(*seed, self.name, i).uniform(-1.0, 1.0, len(self.target)) for i in range(count)])
        states = self.initial_centre + unit.reshape(count, -1) * np.array(self.half_width)
        return np.asarray(np.round(states, STATE_DECIMALS))

    def definition(self) -> dict[str, object]:
        """Every number that defines the problem, for identities, and the source of a plant from elsewhere.

        The sources of this package are part of every stage's identity by themselves.
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
            # Present only where they say something, so that the identities of other problems stay what they were.
            **({} if plant.coefficients else {"parameters": dict(plant.parameters)}),
            **({} if self.centre is None else {"centre": list(self.centre)}),
            **({} if self.starts == 1 else {"starts": self.starts}),
            **({} if self.built_in else {"source": _source_digest(type(plant))}),
        }

    @property
    def built_in(self) -> bool:
        """Whether the plant's dynamics are part of this package."""
        return type(self.plant).__module__.partition(".")[0] == "setpoint"


def reward_horizon(problems: Iterable[Problem]) -> int:
    """Steps that a reward should score when one model serves `problems`; 0 stands for the whole answer.

    Where only the first steps of an answer are ever applied, scoring the rest is noise, and worse where the plant is
    unstable. Where all problems are judged by whole answers, those are scored. They are also scored where a problem has
    local optima, for there the cost to go of the linearisation says nothing about the steps that are left.
    """
    posed = list(problems)
    whole = all(problem.evaluation_mode is EvaluationMode.OPEN_LOOP for problem in posed) or any(
        problem.starts > 1 for problem in posed
    )
    return 0 if whole else CLOSED_LOOP_REPLANNING


def _source_digest(kind: type) -> str:
    """Of the file that defines a class; what was typed in has no file, and is known by its name alone."""
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):  # typed into an interpreter, or into a notebook
        file = None
    return kind.__qualname__ if file is None else file_digest(Path(file))


def _finite(values: Sequence[Any]) -> bool:
    """Whether the numbers among `values` are finite; symbols of a solver pass."""
    return all(math.isfinite(value) for value in _numbers(values))


def _numbers(values: Sequence[Any]) -> list[float]:
    return [value for value in values if isinstance(value, float | int)]
