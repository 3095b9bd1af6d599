"""What a claim rests on besides its estimate: one type for each kind of claim, with a name for every number.

Levels are keyed by their text. All numbers are finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from setpoint.analysis.data.experiment import Level

Interval = tuple[float, float]


@dataclass(frozen=True)
class ImpactEvidence:
    """Which parameter has the largest effect.

    Attributes:
        parameter: the one with the largest observed effect.
        probability_of_largest: by parameter, from the bootstrap; empty where the effect is not significant.
        variance_components: by parameter, corrected for bias.
    """

    parameter: str
    probability_of_largest: Mapping[str, float]
    variance_components: Mapping[str, float]


@dataclass(frozen=True)
class Sensitivity:
    """The best level of a parameter under other analyses.

    Attributes:
        failed_runs_ranked_worst: by mean rank with failed runs ranked worst; None where no run failed or levels tie.
        arithmetic_means: by arithmetic means; None where the analysis is not on logarithms.
        without_seed: with each seed left out; empty where there are too few seeds, or too many.
    """

    failed_runs_ranked_worst: Level
    arithmetic_means: Level
    without_seed: Mapping[int, Level]


@dataclass(frozen=True)
class LevelEvidence:
    """The levels of one parameter against each other.

    Attributes:
        possibly_best: the levels that may be the best.
        p_against_others: of the observed best against every other level, adjusted over all pairs.
        level_means: of every level, in the metric's unit.
        level_intervals: of the levels' means, each by itself; only levels whose mean has one.
    """

    observed_best: Level
    possibly_best: tuple[Level, ...]
    p_against_others: Mapping[str, float]
    sensitivity: Sensitivity
    level_means: Mapping[str, float]
    level_intervals: Mapping[str, Interval]


@dataclass(frozen=True)
class EffectEvidence:
    """Whether a parameter matters: the uncorrected p-value, and the levels furthest apart."""

    p_unadjusted: float
    best_level: Level
    worst_level: Level


@dataclass(frozen=True)
class InteractionEvidence:
    """Whether the effect of one parameter depends on another: the uncorrected p-value."""

    p_unadjusted: float


@dataclass(frozen=True)
class Detectable:
    """Which difference of two levels a number of seeds shows.

    Attributes:
        by_seeds: seeds -> the smallest difference that is shown, on the analysed scale.
        in_words: the same as text.
        observed: of the best level and the next, as seen.
        allowed: the most by which they may truly differ; None where no interval says.
    """

    by_seeds: Mapping[int, float]
    in_words: Mapping[int, str]
    observed: float
    observed_in_words: str
    allowed: float | None
    allowed_in_words: str | None


@dataclass(frozen=True)
class ResolutionEvidence:
    """Which differences the design shows, by parameter."""

    parameters: Mapping[str, Detectable]


@dataclass(frozen=True)
class BestSetEvidence:
    """Which configurations may be the best, by their numbers in the plan.

    Attributes:
        tested: how many were compared.
        note: what to know about the score of the observed best.
    """

    observed_best: int
    possibly_best: tuple[int, ...]
    tested: int
    note: str


@dataclass(frozen=True)
class ConfirmationEvidence:
    """The experiment that chose the configuration."""

    chosen_by: str


@dataclass(frozen=True)
class CheckpointEvidence:
    """The run whose checkpoint was observed best, and how many others it beats."""

    best: str
    beaten: int


@dataclass(frozen=True)
class StageEvidence:
    """The metric by which a training stage is compared with what it started from."""

    metric: str


@dataclass(frozen=True)
class FailureEvidence:
    """How often runs of each level failed.

    Attributes:
        p_unadjusted: None where runs are not independent.
        failed_and_total: level -> failed runs, runs that ended.
    """

    p_unadjusted: float | None
    failed_and_total: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class SecondaryEvidence:
    """The best level by a secondary metric, as observed."""

    observed_best: Level


@dataclass(frozen=True)
class InertEvidence:
    """Pairs of runs that gave the same files; the first of many."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ArmEvidence:
    """Two arms against each other.

    Attributes:
        better: the arm with the better mean; None where nothing was tested.
        difference: of the second to the first, on the analysed scale, so that negative is better.
    """

    metric: str
    better: str | None = None
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class DifferenceEvidence(ArmEvidence):
    """Two arms on one system.

    Attributes:
        probability_of_improvement: how often a run of the second arm is better than one of the first; None where an
            arm has no run, or where runs are paired.
        permutation_p: of the max-T permutation test; None where runs are paired or too few.
    """

    probability_of_improvement: float | None = None
    permutation_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class TheseSystemsEvidence(ArmEvidence):
    """Two arms over the systems that were tried."""

    systems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GeneralEvidence(ArmEvidence):
    """Two arms with the systems as a sample: their observed differences, on the analysed scale."""

    differences: tuple[float, ...]


@dataclass(frozen=True)
class RankEvidence:
    """The mean ranks of arms over systems; rank 1 is best."""

    arms: tuple[Level, ...]
    mean_ranks: tuple[float, ...]
    systems: int


@dataclass(frozen=True)
class SeedEvidence:
    """Whether the plan declares the seed a block, and the seeds that all configurations have."""

    declared_block: bool
    seeds: int


@dataclass(frozen=True)
class SourceEvidence:
    """The adapters that stand for the source's training."""

    adapters: tuple[str, ...]


Evidence = (
    ImpactEvidence
    | LevelEvidence
    | EffectEvidence
    | InteractionEvidence
    | ResolutionEvidence
    | BestSetEvidence
    | ConfirmationEvidence
    | CheckpointEvidence
    | StageEvidence
    | FailureEvidence
    | SecondaryEvidence
    | InertEvidence
    | DifferenceEvidence
    | TheseSystemsEvidence
    | GeneralEvidence
    | RankEvidence
    | SeedEvidence
    | SourceEvidence
)
