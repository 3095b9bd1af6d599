"""Dataset recipe: exactly the settings that determine the rows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from setpoint import plants, problems
from setpoint.errors import InputError, collect, unknown_name
from setpoint.problems import COARSE_TO_FINE, MoveBlocking

Expert = Literal["optimal", "detuned"]
Split = Literal["train", "validation", "test"]

EXPERTS: tuple[Expert, ...] = ("optimal", "detuned")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
DEFAULT_ROWS = 2000
"""Default number of rows per system."""
ROWS_PER_TRAJECTORY = 2
"""An initial state and a state visited on the way from it."""
MAX_ROWS = 1_000_000
"""Largest dataset: rows are held in memory until written, and each takes milliseconds to solve."""
_MIN_ROWS = ROWS_PER_TRAJECTORY * len(SPLITS)


@dataclass(frozen=True)
class Recipe:
    """Configuration of a dataset.

    Attributes:
        systems: full names, in order.
        total_samples: rows over all systems; a remainder goes to the first systems, one row each.
        split_ratio: training share; the rest is halved into validation and test.
        blocking: move blocking of a row.
        expert: the expert that computes the moves.
    """

    systems: tuple[str, ...]
    total_samples: int
    split_ratio: float = 0.9
    blocking: MoveBlocking = COARSE_TO_FINE
    expert: Expert = "optimal"

    def __post_init__(self) -> None:
        """Validate the settings and report all errors together."""
        wrong: list[InputError] = []
        if not self.systems or len(set(self.systems)) < len(self.systems):
            wrong.append(InputError(f"a dataset needs one or more distinct systems, but got {list(self.systems)}."))
        if not 0 < self.split_ratio < 1:
            wrong.append(
                InputError(
                    f"the split ratio (training share) must be between 0 and 1, but is {self.split_ratio}. Try 0.9."
                )
            )
        if self.total_samples < _MIN_ROWS * len(self.systems):
            wrong.append(
                InputError(
                    f"a dataset needs at least {_MIN_ROWS} rows per system, so that every split has a trajectory, but "
                    f"{self.total_samples} were requested for {len(self.systems)} system(s). Raise --total-samples."
                )
            )
        if self.total_samples > MAX_ROWS:
            wrong.append(
                InputError(
                    f"a dataset has at most {MAX_ROWS} rows, but {self.total_samples} were requested. "
                    "Lower --total-samples."
                )
            )
        if self.expert not in EXPERTS:
            wrong.append(unknown_name("expert", self.expert, EXPERTS))
        collect(wrong)
        for system in self.systems:
            self.blocking.require_horizon(system, problems.get(system).steps)

    def rows_of(self, system: str) -> int:
        """Return the number of rows of one system."""
        each, left = divmod(self.total_samples, len(self.systems))
        return each + (self.systems.index(system) < left)

    def split_of(self, system: str) -> dict[Split, range]:
        """Return the trajectories of each split; every split has at least one."""
        trajectories = -(-self.rows_of(system) // ROWS_PER_TRAJECTORY)
        train = min(max(round(self.split_ratio * trajectories), 1), trajectories - 2)
        validation = (trajectories - train) // 2
        bounds = (0, train, train + validation, trajectories)
        return {split: range(bounds[i], bounds[i + 1]) for i, split in enumerate(SPLITS)}

    def definition(self) -> dict[str, Any]:
        """Return all settings that determine the rows, as JSON."""
        return {
            "systems": list(self.systems),
            "total_samples": self.total_samples,
            "split_ratio": self.split_ratio,
            "blocks": list(self.blocking.lengths),
            "expert": self.expert,
            "problems": problem_definitions(self.systems),
        }


def problem_definitions(full_names: Iterable[str]) -> dict[str, Any]:
    """Return the numerical definitions of the systems' problems; data depend on them."""
    return {name: problems.get(name).definition() for name in full_names}


def canonical_systems(names: Iterable[str]) -> tuple[str, ...]:
    """Return the full names of `names` without duplicates, in order.

    Raises:
        InputError: there is no such system.
    """
    return tuple(dict.fromkeys(plants.canonical(name) for name in names))
