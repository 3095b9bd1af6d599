"""Simulated searches: trials that earlier results chose, and the confirmation of the best of them with new seeds."""

from dataclasses import dataclass

import numpy as np

from setpoint.truth.planted import Planted, PlantedRun, truth_of
from setpoint.truth.worlds import TYPICAL_ERROR

SYSTEM = "double_integrator"


@dataclass(frozen=True)
class Searched:
    """A search for the best learning rate, which draws later trials near the best one so far.

    Attributes:
        trials: number of trials; the first third is random.
        replicates: seeds per trial.
        depth: largest difference of the logarithm of the error over the range; 0: all trials are equal.
        run_sd: standard deviation of runs.
        confirmed: number of best trials whose confirmation is drawn; 0: draw the search itself.
        seeds: new seeds of each.
    """

    trials: int = 24
    replicates: int = 2
    depth: float = 1.0
    run_sd: float = 0.3
    confirmed: int = 0
    seeds: int = 5

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one search, or its confirmation."""
        places, scores = np.empty(0), np.empty((0, self.replicates))
        for trial in range(self.trials):
            near = 0.5 if not len(scores) else places[int(np.argmin(scores.mean(axis=1)))]
            place = rng.random() if trial < self.trials // 3 else _reflected(float(rng.normal(near, 0.1)))
            drawn = self._mean(place) + self.run_sd * rng.standard_normal(self.replicates)
            places, scores = np.append(places, place), np.vstack([scores, drawn])
        if not self.confirmed:
            return self._planted("learning_rate", places, scores, adaptive=True)
        best = places[np.argsort(scores.mean(axis=1))[: self.confirmed]]
        fresh = self._mean(best)[:, None] + self.run_sd * rng.standard_normal((len(best), self.seeds))
        return self._planted("candidate", best, fresh, confirms="search")

    def _mean(self, place: "np.ndarray | float") -> np.ndarray:
        """Return the true mean of the logarithm at a place of the range, 0 to 1."""
        return np.asarray(np.log(TYPICAL_ERROR) + self.depth * (np.asarray(place) - 0.6) ** 2 / 0.36)

    def _planted(
        self, factor: str, places: np.ndarray, values: np.ndarray, *, adaptive: bool = False, confirms: str = ""
    ) -> Planted:
        levels = [f"{place:.9f}" for place in places] if confirms else [float(place) for place in places]
        errors = np.exp(values)[:, :, None]
        runs = tuple(
            PlantedRun(trial, replicate, {factor: levels[trial]}, (SYSTEM,), {SYSTEM: errors[trial, replicate]})
            for trial in range(len(places))
            for replicate in range(values.shape[1])
        )
        truth = truth_of([(level,) for level in levels], self._mean(places))
        return Planted((factor,), runs, truth, adaptive=adaptive, confirms=confirms)


def _reflected(place: float) -> float:
    """Return a place mirrored into the range, so that no two trials share an end of it."""
    inside = abs(place)
    return 2.0 - inside if inside > 1.0 else inside
