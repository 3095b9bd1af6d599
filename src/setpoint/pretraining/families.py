"""Distances between drawn and named plants: no drawn plant may come close to a named one.

Plants are compared by the slopes x' at probe points in the initial set of the named plant and its range of controls. A
drawn plant of equal size is rejected if, in every equation, the largest difference is within 20 % of the named plant's
largest slope. Members of the second-order family are also compared by the Taylor coefficients of their acceleration, so
that g sin(x) and g x − g x³/6 are equivalent; coefficients below one are compared by absolute difference, which rejects
more plants than a purely relative rule.
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from setpoint import plants, problems
from setpoint.plants import Plant, components_of
from setpoint.pretraining.random_plants import RandomPlant, slopes
from setpoint.seeding import generator

EXCLUSION = 0.2
_PROBES = 64


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


def slope_distance(drawn: RandomPlant, named: str) -> float:
    """Return the largest difference of the slopes in any equation, relative to the largest slope of `named`."""
    points, controls, reference = _probes(named)
    found = np.stack(slopes(drawn, components_of(points), components_of(controls), np), axis=-1)
    largest = np.maximum(np.abs(reference).max(axis=0), 1e-9)
    return float((np.abs(found - reference).max(axis=0) / largest).max())


def distances(drawn: RandomPlant) -> dict[str, float]:
    """Return the distance of `drawn` from every named plant of the same size.

    Plug-ins are excluded: the corpus must not depend on the packages that happen to be installed.
    """
    named = {name: plants.get(name) for name in plants.shipped_names()}
    alike = {name: plant for name, plant in named.items() if (plant.n_x, plant.n_u) == drawn.shape}
    return {name: _distance(drawn, plant) for name, plant in alike.items()}


def _distance(drawn: RandomPlant, named: Plant) -> float:
    if drawn.coefficients and named.coefficients:
        return distance(drawn.coefficients, dict(named.coefficients))
    return slope_distance(drawn, named.name)


@cache
def _probes(
    name: str,
) -> tuple[Float[np.ndarray, "P n_x"], Float[np.ndarray, "P n_u"], Float[np.ndarray, "P n_x"]]:
    """Return states, controls and slopes x' of a named plant at its probe points."""
    problem = problems.get(name)
    plant, rng = problem.plant, generator("probes", name)
    states = problem.initial_centre + rng.uniform(-1, 1, (_PROBES, plant.n_x)) * np.array(problem.half_width)
    controls = rng.uniform(plant.control_lower, plant.control_upper, (_PROBES, plant.n_u))
    found = plant.derivative(0.0, components_of(states), components_of(controls), np)
    return states, controls, np.stack([np.broadcast_to(part, _PROBES) for part in found], axis=-1)
