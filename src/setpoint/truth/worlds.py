"""Generators of simulated experiments: designs and true effects with noise, shared seeds, cases and failures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from setpoint.analysis.data.experiment import Level
from setpoint.records.state import RunStatus
from setpoint.truth.planted import Planted, PlantedRun, crossed, truth_of

TYPICAL_ERROR = 0.05
GRID: Mapping[str, Sequence[Level]] = {
    "lora_rank": (4, 8, 16, 32, 64),
    "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4),
    "batch_size": (2, 4),
}
CUBE: Mapping[str, Sequence[Level]] = {
    "lora_rank": (4, 8, 16),
    "learning_rate": (1e-4, 2e-4, 5e-4),
    "batch_size": (2, 4, 8),
}
SQUARE: Mapping[str, Sequence[Level]] = {"lora_rank": (4, 8, 16, 32), "learning_rate": (5e-5, 1e-4, 2e-4, 5e-4)}
ONE_WAY: Mapping[str, Sequence[Level]] = {"learning_rate": (1e-4, 2e-4, 5e-4)}
Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw standard normal noise."""
    return rng.standard_normal(count)


def heavy_tailed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw from Student's t with three degrees of freedom, scaled to unit variance, with 2 % outliers at ±5."""
    noise = rng.standard_t(3, count) / np.sqrt(3.0)
    far = np.where(rng.random(count) < 0.02, rng.choice([-5.0, 5.0], count), 0.0)
    return np.asarray(noise + far)


@dataclass(frozen=True)
class World:
    """A factorial with known effects on the logarithm of the error.

    Attributes:
        levels: factor -> levels.
        effects: factor -> true effect of each level, in units of `run_sd`.
        crossover: step interaction of the first two factors, in units of `run_sd`: ±`crossover`, with the sign of the
            product of upper (+1) and lower (−1) halves of their levels.
        turning: slope interaction of the first two factors, in units of `run_sd`: the effect of the second factor is
            linear, and its slope runs from −`turning` to +`turning` over the levels of the first.
        run_sd: standard deviation of runs; one per level of `spread_factor` if it is a sequence.
        seed_correlation: share of a run's variance that is due to its seed.
        case_sd: standard deviation of cases, shared by all runs.
        configuration_case_sd: standard deviation of the configuration-by-case interaction.
        residual_sd: standard deviation of one run on one case.
        missing: probability that a run fails, independent of its result.
        equivalence: margin that the plan declares, a share of the smaller value.
        noisy_cell: standard deviation of the first cell, as a multiple of that of the others.
    """

    levels: Mapping[str, Sequence[Level]] = field(default_factory=lambda: GRID)
    replicates: int = 3
    effects: Mapping[str, Sequence[float]] = field(default_factory=dict)
    crossover: float = 0.0
    turning: float = 0.0
    run_sd: float | Sequence[float] = 0.3
    spread_factor: str = "learning_rate"
    seed_correlation: float = 0.0
    cases: int = 1
    case_sd: float = 0.0
    configuration_case_sd: float = 0.0
    residual_sd: float = 0.0
    missing: float = 0.0
    noisy_cell: float = 1.0
    noise: Noise = normal
    blocks: tuple[str, ...] = ()
    trends: tuple[str, ...] = ()
    type: str = "hyperparameter_sweep"
    equivalence: float | None = None

    @property
    def unit(self) -> float:
        """Return one standard deviation of a run."""
        return float(np.mean(self.run_sd))

    def cell_means(self) -> np.ndarray:
        """Return the true means of the logarithm, (cells,)."""
        cells = crossed(self.levels)
        means = np.full(len(cells), np.log(TYPICAL_ERROR))
        for k, (factor, levels) in enumerate(self.levels.items()):
            if factor in self.effects:
                effect = dict(zip(levels, self.effects[factor], strict=True))
                means += self.unit * np.array([effect[cell[k]] for cell in cells])
        if self.crossover:
            first, second = (list(levels) for levels in list(self.levels.values())[:2])
            a = _signs(len(first))[[first.index(cell[0]) for cell in cells]]
            b = _signs(len(second))[[second.index(cell[1]) for cell in cells]]
            means += self.unit * self.crossover * a * b
        if self.turning:
            first, second = (list(levels) for levels in list(self.levels.values())[:2])
            a = np.linspace(-1.0, 1.0, len(first))[[first.index(cell[0]) for cell in cells]]
            b = np.linspace(-1.0, 1.0, len(second))[[second.index(cell[1]) for cell in cells]]
            means += self.unit * self.turning * a * b
        return means

    def spreads(self) -> np.ndarray:
        """Return the standard deviation of the runs of each cell, (cells,)."""
        cells = crossed(self.levels)
        if isinstance(self.run_sd, float):
            return self.run_sd * np.where(np.arange(len(cells)) == 0, self.noisy_cell, 1.0)
        position = list(self.levels).index(self.spread_factor)
        levels = list(self.levels[self.spread_factor])
        return np.array([self.run_sd[levels.index(cell[position])] for cell in cells])

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""
        cells = crossed(self.levels)
        means, count = self.cell_means(), len(cells) * self.replicates
        cell = np.repeat(np.arange(len(cells)), self.replicates)
        replicate = np.tile(np.arange(self.replicates), len(cells))
        shared = normal(rng, self.replicates)[replicate]
        own = self.noise(rng, count)
        spread = self.spreads()[cell]
        # Shared and own noise have unit variance, so that the mix has unit variance and the intraclass correlation.
        mixed = np.sqrt(self.seed_correlation) * shared + np.sqrt(1.0 - self.seed_correlation) * own
        level = means[cell] + spread * mixed
        by_cell, residual = self._cases(rng, len(cells), count)
        errors = np.exp(level[:, None] + by_cell[cell] + residual)
        failed = rng.random(count) < self.missing
        runs = tuple(
            PlantedRun(
                configuration=int(cell[k]),
                replicate=int(replicate[k]),
                factors=dict(zip(self.levels, cells[cell[k]], strict=True)),
                systems=("double_integrator",),
                errors={"double_integrator": errors[k]},
                state=RunStatus.FAILED if failed[k] else RunStatus.OK,
            )
            for k in range(count)
        )
        here = truth_of(cells, means + self._on_these_cases(by_cell))
        truth = truth_of(cells, means)
        return Planted(
            tuple(self.levels),
            runs,
            truth,
            blocks=self.blocks,
            trends=self.trends,
            type=self.type,
            here=here,
            equivalence=self.equivalence,
        )

    def _cases(self, rng: np.random.Generator, cells: int, runs: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw case deviations of each cell, (cells, cases), and of each run, (runs, cases)."""
        if self.cases == 1:
            return np.zeros((cells, 1)), np.zeros((runs, 1))
        common = self.case_sd * rng.standard_normal(self.cases)
        own = self.configuration_case_sd * rng.standard_normal((cells, self.cases))
        return common + own, self.residual_sd * rng.standard_normal((runs, self.cases))

    def _on_these_cases(self, by_cell: np.ndarray) -> np.ndarray:
        """Return the expected logarithm of the mean over the drawn cases minus the cell's mean, to second order."""
        # With weights w_k = exp(by_cell) and lognormal residuals e^ε: E ln Σ w_k e^ε_k ≈ ln Σ w_k + σ²/2 − CV²/2, where
        # CV² = (e^σ² − 1) Σ w_k² / (Σ w_k)² is the squared coefficient of variation of the sum.
        weight = np.exp(by_cell)
        total = weight.sum(axis=1)
        uneven = (weight**2).sum(axis=1) / total**2
        variance = self.residual_sd**2
        return np.asarray(np.log(total / by_cell.shape[1]) + 0.5 * variance - 0.5 * np.expm1(variance) * uneven)


def _signs(count: int) -> np.ndarray:
    """Return −1 for the lower half of the levels, +1 for the upper half, and 0 for the middle of an odd number."""
    signs = np.sign(np.arange(count) - (count - 1) / 2.0)
    return np.asarray(signs)


def straight(levels: int, size: float) -> list[float]:
    """Return effects that fall linearly by `size` from the first level to the last."""
    return [float(effect) for effect in np.linspace(size / 2.0, -size / 2.0, levels)]


@dataclass(frozen=True)
class ManyConfigurations:
    """Selection of the best of many unstructured configurations: one factor with many levels.

    Attributes:
        noisy_best: standard deviation of the best configuration, as a multiple of that of the others.
    """

    configurations: int = 40
    replicates: int = 3
    between_sd: float = 0.5
    run_sd: float = 0.3
    noisy_best: float = 1.0

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment with new configuration means; `between_sd` is in units of `run_sd`."""
        means = np.log(TYPICAL_ERROR) + self.run_sd * self.between_sd * rng.standard_normal(self.configurations)
        spreads = np.full(self.configurations, self.run_sd)
        spreads[int(np.argmin(means))] *= self.noisy_best
        runs = []
        for k in range(self.configurations):
            for replicate in range(self.replicates):
                error = np.exp(means[k] + spreads[k] * rng.standard_normal(1))
                run = PlantedRun(k, replicate, {"recipe": k}, ("double_integrator",), {"double_integrator": error})
                runs.append(run)
        cells = [(k,) for k in range(self.configurations)]
        return Planted(("recipe",), tuple(runs), truth_of(cells, means))


@dataclass(frozen=True)
class InformativeFailures:
    """Informative missingness (MNAR): the second of two levels is worse, and its worse runs fail more often.

    Attributes:
        worse_by: difference of the levels, in units of `run_sd`.
        fails: mean failure probability of each level.
    """

    replicates: int = 20
    worse_by: float = 0.8
    fails: tuple[float, float] = (0.05, 0.4)
    run_sd: float = 0.3

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""
        runs = []
        for k, level in enumerate((1e-4, 5e-4)):
            noise = rng.standard_normal(self.replicates)
            chance = np.full(self.replicates, self.fails[k])
            if k == 1:  # probability increases with the unobserved error; its mean is `fails`
                chance = np.clip(2.0 * self.fails[k] * _logistic(2.0 * noise), 0.0, 1.0)
            failed = rng.random(self.replicates) < chance
            for replicate in range(self.replicates):
                value = np.log(TYPICAL_ERROR) + self.run_sd * (k * self.worse_by + noise[replicate])
                errors = {"double_integrator": np.exp(np.array([value]))}
                state = RunStatus.FAILED if failed[replicate] else RunStatus.OK
                factors = {"learning_rate": level}
                runs.append(PlantedRun(k, replicate, factors, ("double_integrator",), errors, state))
        means = np.log(TYPICAL_ERROR) + self.run_sd * np.array([0.0, self.worse_by])
        return Planted(("learning_rate",), tuple(runs), truth_of([(1e-4,), (5e-4,)], means))


@dataclass(frozen=True)
class EqualCentres:
    """Informative missingness with equal medians: the second level has a larger variance, and runs beyond a bound fail.

    Attributes:
        spreads: standard deviation of most levels, and of the second.
        bound: largest deviation from the median of a run that finishes.
    """

    replicates: int = 10
    spreads: tuple[float, float] = (0.3, 1.5)
    bound: float = 1.0
    levels: int = 2

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""
        runs = []
        for k in range(self.levels):
            values = self.spreads[1 if k == 1 else 0] * rng.standard_normal(self.replicates)
            for replicate, value in enumerate(values.tolist()):
                errors = {"double_integrator": np.exp(np.array([np.log(TYPICAL_ERROR) + value]))}
                state = RunStatus.FAILED if value > self.bound else RunStatus.OK
                factors = {"learning_rate": (k + 1) * 1e-4}
                runs.append(PlantedRun(k, replicate, factors, ("double_integrator",), errors, state))
        cells = [((k + 1) * 1e-4,) for k in range(self.levels)]
        return Planted(("learning_rate",), tuple(runs), truth_of(cells, np.full(self.levels, np.log(TYPICAL_ERROR))))


@dataclass(frozen=True)
class Grouped:
    """Several rows per level and block, with a level-by-block interaction.

    Attributes:
        rows: number of rows per level and block.
        block_sd: standard deviation of block effects, in units of `row_sd`.
        level_by_block_sd: standard deviation of the level-by-block interaction, in units of `row_sd`.
    """

    levels: int = 3
    blocks: int = 6
    rows: int = 3
    block_sd: float = 1.0
    level_by_block_sd: float = 2.0
    row_sd: float = 0.2
    effects: tuple[float, ...] = ()
    declared: tuple[str, ...] = ("seed",)

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment; `effects` are in units of `row_sd`."""
        effects = np.array(self.effects or (0.0,) * self.levels)
        shared = self.block_sd * rng.standard_normal(self.blocks)
        own = self.level_by_block_sd * rng.standard_normal((self.levels, self.blocks))
        noise = rng.standard_normal((self.levels, self.blocks, self.rows))
        values = self.row_sd * (effects[:, None, None] + shared[:, None] + own[:, :, None] + noise)
        runs = tuple(
            PlantedRun(
                k,
                block,
                {"recipe": k},
                ("double_integrator",),
                {"double_integrator": np.exp(np.log(TYPICAL_ERROR) + values[k, block, [row]])},
                row=row,
            )
            for k in range(self.levels)
            for block in range(self.blocks)
            for row in range(self.rows)
        )
        means = np.log(TYPICAL_ERROR) + self.row_sd * effects
        cells = [(k,) for k in range(self.levels)]
        return Planted(("recipe",), runs, truth_of(cells, means), blocks=self.declared)


@dataclass(frozen=True)
class SplitPlots:
    """A split plot: every block (whole plot) has a single level of the first factor and all levels of the second.

    Attributes:
        plots: number of blocks per level of the first factor.
        block_sd: standard deviation of block effects, in units of `run_sd`.
        effects: true effects of the levels of the second factor, in units of `run_sd`.
    """

    plots: int = 4
    levels: tuple[int, int] = (2, 3)
    block_sd: float = 1.5
    effects: tuple[float, ...] = (0.0, 0.0, 0.0)
    run_sd: float = 0.3

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""
        first, second = self.levels
        shared = self.block_sd * rng.standard_normal((first, self.plots))
        noise = rng.standard_normal((first, self.plots, second))
        values = self.run_sd * (shared[:, :, None] + noise + np.array(self.effects))
        runs = tuple(
            PlantedRun(
                a * second + b,
                a * self.plots + plot,
                {"base": f"base {a}", "learning_rate": (b + 1) * 1e-4},
                ("double_integrator",),
                {"double_integrator": np.exp(np.log(TYPICAL_ERROR) + values[a, plot, [b]])},
            )
            for a in range(first)
            for plot in range(self.plots)
            for b in range(second)
        )
        cells = [(f"base {a}", (b + 1) * 1e-4) for a in range(first) for b in range(second)]
        means = np.log(TYPICAL_ERROR) + self.run_sd * np.tile(np.array(self.effects), first)
        return Planted(("base", "learning_rate"), runs, truth_of(cells, means), blocks=("seed",))


@dataclass(frozen=True)
class RawLevels:
    """Levels of one parameter with equal distributions, analysed on a linear scale.

    Attributes:
        draw: sampler of the distribution.
        mean: mean of the distribution.
    """

    draw: Noise
    mean: float
    levels: int = 3
    replicates: int = 5

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""
        values = self.draw(rng, self.levels * self.replicates).reshape(self.levels, self.replicates)
        runs = tuple(
            PlantedRun(
                k, replicate, {"recipe": k}, ("double_integrator",), {"double_integrator": values[k, [replicate]]}
            )
            for k in range(self.levels)
            for replicate in range(self.replicates)
        )
        cells = [(k,) for k in range(self.levels)]
        return Planted(("recipe",), runs, truth_of(cells, np.full(self.levels, self.mean)), scale="linear")


def zero_inflated(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw zeros with probability 0.4, otherwise exponential values with mean 1."""
    return np.where(rng.random(count) < 0.4, 0.0, rng.exponential(size=count))


def rates_near_one(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw success rates of 20 episodes with a success probability of 0.95."""
    return np.asarray(rng.binomial(20, 0.95, size=count) / 20.0)


def exponential(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw exponential values with mean 1."""
    return np.asarray(rng.exponential(size=count))


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True)
class Arms:
    """Arms on several systems: model types, strategies or starting points.

    Attributes:
        effects: arm -> difference to the first arm on each system, in units of `run_sd`.
        system_sd: standard deviation of random differences per system and arm, in units of `run_sd`.
        shared: arms whose runs cover all systems with one model.
    """

    factor: str
    type: str
    systems: tuple[str, ...]
    effects: Mapping[str, Sequence[float]]
    replicates: int = 5
    run_sd: float | Sequence[float] = 0.3
    system_sd: float = 0.0
    seed_correlation: float = 0.0
    shared: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment; `extra` has the true difference of every arm to the first on every system."""
        runs: list[PlantedRun] = []
        extra: dict[str, float] = {}
        configuration = 0
        seed_effects = rng.standard_normal((self.replicates, len(self.systems)))
        for k, (arm, planted) in enumerate(self.effects.items()):
            spread = self.run_sd if isinstance(self.run_sd, float) else self.run_sd[k]
            unit = self.run_sd if isinstance(self.run_sd, float) else float(np.mean(self.run_sd))
            drawn = self.system_sd * rng.standard_normal(len(self.systems)) if k else np.zeros(len(self.systems))
            means = unit * (np.asarray(planted) + drawn)
            extra |= {f"{system}:{arm}": float(mean) for system, mean in zip(self.systems, means, strict=True)}
            own = rng.standard_normal((self.replicates, len(self.systems)))
            common = rng.standard_normal((self.replicates, 1)) if arm in self.shared else 0.0
            noise = np.sqrt(0.5) * (own + common) if arm in self.shared else own  # half of the variance is common
            noise = np.sqrt(self.seed_correlation) * seed_effects + np.sqrt(1.0 - self.seed_correlation) * noise
            values = np.exp(np.log(TYPICAL_ERROR) + means + spread * noise)
            groups = [self.systems] if arm in self.shared else [(system,) for system in self.systems]
            for group in groups:
                runs += self._runs(configuration, arm, group, values)
                configuration += 1
        truth: dict[tuple[Level, ...], float] = {(arm,): 0.0 for arm in self.effects}
        return Planted((self.factor,), tuple(runs), truth, self.systems, self.type, blocks=self.blocks, extra=extra)

    def _runs(self, configuration: int, arm: str, group: tuple[str, ...], values: np.ndarray) -> list[PlantedRun]:
        columns = [self.systems.index(system) for system in group]
        return [
            PlantedRun(
                configuration,
                replicate,
                {self.factor: arm},
                group,
                {s: values[replicate, [c]] for s, c in zip(group, columns, strict=True)},
                model_type=arm if self.factor == "model_type" else "specialist",
            )
            for replicate in range(self.replicates)
        ]
