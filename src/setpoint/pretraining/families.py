"""Random second-order plants for the built-in base to learn from, never close to a named one.

Two plants are compared by the Taylor coefficients of their acceleration (so that g sin(x) and a x − g x³/6 count as the
same thing). A drawn plant is rejected when every coefficient lies within 20 % of a named plant's, where coefficients
smaller than one are compared absolutely; that rejects more than a purely relative rule would.
"""

from dataclasses import dataclass

import numpy as np

from setpoint import plants

EXCLUSION = 0.2
TERMINAL_WEIGHT = 10.0
POSITION_WEIGHT = 10.0
CONTROL_WEIGHT = 0.1
STEPS = 50


@dataclass(frozen=True)
class DrawnPlant:
    """A plant and the problem posed for it: coefficients by name, grid, bounds, weights and initial set."""

    coefficients: dict[str, float]
    dt_s: float
    control_bound: float
    velocity_weight: float
    half_width: tuple[float, float]


def taylor_coefficients(coefficients: dict[str, float]) -> np.ndarray:
    """(x, x', x³, x² x', u) coefficients of the acceleration up to third order."""
    term = {name: float(coefficients.get(name, 0.0)) for name in plants.TERMS}
    return np.array([term["a"] + term["g"], term["b"], term["c"] - term["g"] / 6, term["d"], term["e"]])


def distance(coefficients: dict[str, float], other: dict[str, float]) -> float:
    """Largest difference of a Taylor coefficient, relative to `other`'s where that exceeds one."""
    reference = taylor_coefficients(other)
    difference = np.abs(taylor_coefficients(coefficients) - reference)
    return float((difference / np.maximum(np.abs(reference), 1.0)).max())


def named_coefficients() -> dict[str, dict[str, float]]:
    """The coefficients of every plant of this package that belongs to the second-order family.

    Plug-ins are left out: what the base learned from must not depend on what else is installed.
    """
    found = {name: dict(plants.get(name).coefficients) for name in plants.shipped_names()}
    return {name: coefficients for name, coefficients in found.items() if coefficients}


def draw_plant(rng: np.random.Generator) -> DrawnPlant:
    """One plant of the family; may be close to a named one, which the caller rejects."""
    stiffness = rng.uniform(-4, 4) if rng.random() < 0.6 else rng.uniform(4, 12)
    share = rng.choice([0.0, 1.0, rng.random()], p=[0.5, 0.25, 0.25])
    coefficients = {
        "a": _sparse(rng, stiffness * (1 - share)),
        "b": _sparse(rng, rng.uniform(-1.5, 1.5)),
        "c": _sparse(rng, rng.uniform(-2, 2)),
        "d": _sparse(rng, rng.uniform(-1.5, 1.5)),
        "g": _sparse(rng, stiffness * share, 0.1),
        "e": 1.0 if rng.random() < 0.3 else round(rng.uniform(0.5, 1.5), 2),
    }
    fast = coefficients["a"] + coefficients["g"] > 5 or rng.random() < 0.5
    half_width = rng.uniform(0.3, 1.6, 2)
    return DrawnPlant(
        coefficients=coefficients,
        dt_s=0.05 if fast else 0.1,
        control_bound=round(rng.uniform(2, 7), 1),
        velocity_weight=1.0 if rng.random() < 0.5 else 10.0,
        half_width=(float(half_width[0]), float(half_width[1])),
    )


def _sparse(rng: np.random.Generator, value: float, zero_share: float = 0.3) -> float:
    """`value` with two decimals, as a prompt states it, or zero."""
    return 0.0 if rng.random() < zero_share else round(float(value), 2)
