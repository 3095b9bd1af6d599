"""Members of a family of plants, with parameters drawn from its ranges."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from setpoint.errors import InputError
from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant

AnyPlant = TypeVar("AnyPlant", bound=Plant)


def draw_member(plant: AnyPlant, rng: np.random.Generator, *, held_out: bool) -> AnyPlant:
    """Draw a member of the family of `plant`: every parameter from its held-out range, or none.

    Raises:
        InputError: the plant has no family.
    """
    family: Mapping[str, Interval] = plant.family
    if not family:
        raise InputError(f"{plant.name} is one plant, not a family: none of its parameters has a range.")
    return replace(plant, **{name: interval.draw(rng, held_out=held_out) for name, interval in family.items()})  # type: ignore[type-var]
