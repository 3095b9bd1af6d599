"""The interface of a plant: signals with units and bounds, and dynamics written once.

`Plant.derivative` works on components, so that the same code accepts NumPy batches (with `xp=numpy`), complex numbers
(for exact Jacobians) and CasADi symbols (with `xp=casadi`). Simulator, solver, prompts, rewards and metrics share it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from setpoint.arguments import require_number, require_text
from setpoint.errors import InputError, shown
from setpoint.plants.integrators import rk4_step
from setpoint.plants.interval import Interval

Component = Any
"""One scalar signal: a float, a NumPy array of a batch, or a CasADi symbol."""


def components_of(array: np.ndarray) -> tuple[np.ndarray, ...]:
    """Split `array` along its last axis into components, each with the batch axes."""
    return tuple(np.moveaxis(array, -1, 0))


@dataclass(frozen=True)
class Signal:
    """A state or control: its name, SI unit and hard bounds."""

    name: str
    unit: str
    lower: float
    upper: float

    def __post_init__(self) -> None:
        """Reject names that are not text, and bounds that are not numbers."""
        require_text(self.name, "the name of a signal")
        if not isinstance(self.unit, str):
            raise InputError(f"the unit of signal {self.name} must be text, got {shown(self.unit)}.")
        require_number(self.lower, f"the lower bound of {self.name}")
        require_number(self.upper, f"the upper bound of {self.name}")


class Plant(ABC):
    """A dynamical system x' = f(t, x, u) on a fixed grid, integrated by RK4.

    States are never clamped. A control outside its bounds is saturated by the simulator, not here.
    Subclasses are frozen dataclasses; their fields are the physical parameters and `dt_s`.

    Attributes:
        name: identifier used everywhere, in `snake_case`.
        short_name: alias.
        title: one-line description.
        source: reference for the equations.
        states: the n_x states, in order.
        controls: the n_u controls, in order.
        substeps: RK4 steps per grid interval.
        linear: whether x' is linear in x and u, which makes optimal control a convex problem.
        family: parameter name -> range, for the parameters that may vary; empty for a single plant.
        dt_s: grid interval in seconds.
    """

    name: ClassVar[str]
    short_name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    states: ClassVar[tuple[Signal, ...]]
    controls: ClassVar[tuple[Signal, ...]]
    substeps: ClassVar[int] = 1
    linear: ClassVar[bool] = False
    family: ClassVar[Mapping[str, Interval]] = {}
    dt_s: float

    def __post_init__(self) -> None:
        """Reject parameters that are not finite and a time step that is not positive."""
        for name, value in {**self.parameters, "dt_s": self.dt_s}.items():
            if isinstance(value, float | int | np.ndarray) and not np.isfinite(value).all():
                raise InputError(f"parameter {name} of {self.name} must be finite, got {value}.")
        if isinstance(self.dt_s, float | int) and self.dt_s <= 0:
            raise InputError(f"the grid interval dt_s of {self.name} must be positive, got {self.dt_s:g} s.")
        if type(self.substeps) is not int or self.substeps < 1:
            raise InputError(f"substeps of {self.name} must be an integer of at least 1, got {self.substeps}.")

    @abstractmethod
    def derivative(
        self, t: Component, x: Sequence[Component], u: Sequence[Component], xp: Any
    ) -> tuple[Component, ...]:
        """Return the n_x components of x' at time `t` (s) for state components `x` and control components `u`."""

    def checked_derivative(
        self, t: Component, x: Sequence[Component], u: Sequence[Component], xp: Any
    ) -> tuple[Component, ...]:
        """Return `derivative` of these arguments.

        Raises:
            InputError: it does not have one value per state.
        """
        slopes: Any = self.derivative(t, x, u, xp)
        scalar = isinstance(slopes, np.ndarray) and slopes.ndim == 0
        if scalar or not isinstance(slopes, tuple | list | np.ndarray) or len(slopes) != self.n_x:
            raise InputError(
                f"{self.name}: derivative must return a tuple with one value per state ({self.n_x}), got "
                f"{shown(slopes)}."
            )
        return slopes if isinstance(slopes, tuple) else tuple(slopes)

    @property
    def coefficients(self) -> Mapping[str, float]:
        """Coefficients in the second-order family (`setpoint.plants.second_order`); empty for plants outside it.

        A short prompt prints them instead of `equations`.
        """
        return {}

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The physical parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "dt_s"}  # type: ignore[arg-type]

    @property
    @abstractmethod
    def equations(self) -> tuple[str, ...]:
        """The equations of motion as text with numbers filled in, one per state in the order of `states`."""

    @property
    def n_x(self) -> int:
        """Number of states."""
        return len(self.states)

    @property
    def n_u(self) -> int:
        """Number of controls."""
        return len(self.controls)

    @property
    def control_lower(self) -> Float[np.ndarray, " n_u"]:
        """Lower control bounds in SI units."""
        return np.array([signal.lower for signal in self.controls])

    @property
    def control_upper(self) -> Float[np.ndarray, " n_u"]:
        """Upper control bounds in SI units."""
        return np.array([signal.upper for signal in self.controls])

    @property
    def state_lower(self) -> Float[np.ndarray, " n_x"]:
        """Lower state bounds in SI units."""
        return np.array([signal.lower for signal in self.states])

    @property
    def state_upper(self) -> Float[np.ndarray, " n_x"]:
        """Upper state bounds in SI units."""
        return np.array([signal.upper for signal in self.states])

    def step_components(
        self, t: Component, x: Sequence[Component], u: Sequence[Component], xp: Any
    ) -> tuple[Component, ...]:
        """Return the state components one grid interval later, with `u` held constant."""
        return rk4_step(self.checked_derivative, t, tuple(x), tuple(u), self.dt_s, xp, self.substeps)

    def step(self, t: float, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Advance the states `x` (..., n_x) by one grid interval under the held controls `u` (..., n_u)."""
        components = self.step_components(t, components_of(x), components_of(u), np)
        return np.stack(components, axis=-1)
