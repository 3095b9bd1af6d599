"""Range of a physical parameter, with an inner range held out for testing."""

import math
from dataclasses import dataclass

import numpy as np

from setpoint.errors import InputError

PARAMETER_DECIMALS = 2
"""Decimals of drawn parameters, equal to those that a prompt prints."""


@dataclass(frozen=True)
class Interval:
    """Range of one parameter of a family, in its SI unit.

    Attributes:
        low, high: bounds of the family.
        held_low, held_high: bounds of the held-out part, which training never draws; the nominal value lies outside it.
    """

    low: float
    high: float
    held_low: float
    held_high: float

    def __post_init__(self) -> None:
        """Reject ranges that are not nested."""
        if not self.low <= self.held_low < self.held_high <= self.high:
            raise InputError(
                f"a held-out range must lie within its family, got [{self.held_low:g}, {self.held_high:g}] for "
                f"[{self.low:g}, {self.high:g}]."
            )
        grid = 10**PARAMETER_DECIMALS
        drawn = [k / grid for k in range(math.ceil(self.low * grid), math.floor(self.high * grid) + 1)]
        if len({self.holds_out(value) for value in drawn}) < 2:
            raise InputError(
                f"a held-out range and the rest of its family must each contain a value with {PARAMETER_DECIMALS} "
                f"decimals, but one of them is empty for [{self.held_low:g}, {self.held_high:g}] inside "
                f"[{self.low:g}, {self.high:g}]."
            )

    def holds_out(self, value: float) -> bool:
        """Return whether `value` is held out for testing."""
        return self.held_low <= value <= self.held_high

    def draw(self, rng: np.random.Generator, *, held_out: bool) -> float:
        """Draw a value from the held-out range, or from the rest of the family."""
        while True:
            low, high = (self.held_low, self.held_high) if held_out else (self.low, self.high)
            value = round(float(rng.uniform(low, high)), PARAMETER_DECIMALS)
            # Rejection sampling, after rounding: rounding may carry a value across the edge of the held-out range.
            if self.holds_out(value) is held_out:
                return value
