"""Random second-order plants for pre-training the built-in base, none of them close to a named plant.

Plants are compared by the Taylor coefficients of their acceleration, so that g sin(x) and g x − g x³/6 are equivalent.
A drawn plant is rejected if every coefficient is within 20 % of a named plant's; coefficients below one are compared
by absolute difference, which rejects more plants than a purely relative rule.
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
    """A random plant with its problem: coefficients by name, time step, bounds, weights and initial set."""

    coefficients: dict[str, float]
    dt_s: float
    control_bound: float
    velocity_weight: float
    half_width: tuple[float, float]


def taylor_coefficients(coefficients: dict[str, float]) -> np.ndarray:
    """Return the coefficients of (x, x', x³, x² x', u) in the acceleration, up to third order."""
    term = {name: float(coefficients.get(name, 0.0)) for name in plants.TERMS}
    # sin(x) = x - x³/6 + O(x⁵): the gravity term contributes to the x and x³ coefficients.
    return np.array([term["a"] + term["g"], term["b"], term["c"] - term["g"] / 6, term["d"], term["e"]])


def distance(coefficients: dict[str, float], other: dict[str, float]) -> float:
    """Return the largest Taylor-coefficient difference, relative to `other` for coefficients above one."""
    reference = taylor_coefficients(other)
    difference = np.abs(taylor_coefficients(coefficients) - reference)
    return float((difference / np.maximum(np.abs(reference), 1.0)).max())


def named_coefficients() -> dict[str, dict[str, float]]:
    """Return the coefficients of all built-in plants of the second-order family.

    Plug-ins are excluded: the corpus must not depend on the packages that happen to be installed.
    """
    found = {name: dict(plants.get(name).coefficients) for name in plants.shipped_names()}
    return {name: coefficients for name, coefficients in found.items() if coefficients}


def draw_plant(rng: np.random.Generator) -> DrawnPlant:
    """Draw a plant of the family; the caller rejects plants close to a named one."""
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
    """Return `value` rounded to two decimals, as in the prompt, or zero with probability `zero_share`."""
    return 0.0 if rng.random() < zero_share else round(float(value), 2)
