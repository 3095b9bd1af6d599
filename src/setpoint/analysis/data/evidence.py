"""Evidence of claims beyond estimate and p-value: one type per kind of claim.

Mappings by level use the level's text as key. All numbers are finite.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from setpoint.analysis.data.experiment import Level

Interval = tuple[float, float]


@dataclass(frozen=True)
class ImpactEvidence:
    """The parameter with the largest effect.

    Attributes:
        parameter: parameter with the largest observed effect.
        probability_of_largest: parameter -> bootstrap probability of having the largest effect; empty if the effect is
            not significant.
        variance_components: parameter -> variance component, corrected for bias.
    """

    parameter: str
    probability_of_largest: Mapping[str, float]
    variance_components: Mapping[str, float]


@dataclass(frozen=True)
class Sensitivity:
    """Sensitivity analysis: the best level of a parameter under other methods.

    Attributes:
        failed_runs_ranked_worst: best level by mean rank with failed runs ranked worst; None if no run failed or levels
            tie.
        arithmetic_means: best level by arithmetic means; None if the analysis scale is not logarithmic.
        without_seed: left-out seed -> best level; empty if there are too few seeds, or too many.
    """

    failed_runs_ranked_worst: Level
    arithmetic_means: Level
    without_seed: Mapping[int, Level]


@dataclass(frozen=True)
class LevelEvidence:
    """Comparison of the levels of one parameter.

    Attributes:
        observed_best: level with the best observed mean.
        possibly_best: levels that are statistically tied with the best.
        p_against_others: level -> p-value against the observed best, adjusted over all pairs.
        level_means: level -> mean, in the metric's unit.
        level_intervals: level -> pointwise confidence interval of its mean, for levels that have one.
    """

    observed_best: Level
    possibly_best: tuple[Level, ...]
    p_against_others: Mapping[str, float]
    sensitivity: Sensitivity
    level_means: Mapping[str, float]
    level_intervals: Mapping[str, Interval]


@dataclass(frozen=True)
class EffectEvidence:
    """Main effect of a parameter: the unadjusted p-value, and the levels with the largest difference."""

    p_unadjusted: float
    best_level: Level
    worst_level: Level


@dataclass(frozen=True)
class TrendEvidence:
    """Trend over the levels of a numeric parameter.

    Attributes:
        p_unadjusted: unadjusted p-value.
        logarithmic_axis: the levels are spaced by their logarithms.
        lowest: smallest level.
        highest: largest level.
    """

    p_unadjusted: float
    logarithmic_axis: bool
    lowest: Level
    highest: Level


@dataclass(frozen=True)
class EquivalenceEvidence:
    """The largest difference between levels, or arms, on the analysis scale.

    Attributes:
        margin: largest difference that does not matter, as declared in the plan.
        limit: upper confidence limit of the largest difference.
        limit_text: `limit`, formatted with its unit.
        p_unadjusted: unadjusted p-value of a difference as large as the margin.
    """

    margin: float
    limit: float
    limit_text: str
    p_unadjusted: float


@dataclass(frozen=True)
class InteractionEvidence:
    """Interaction of two parameters: the unadjusted p-value."""

    p_unadjusted: float


@dataclass(frozen=True)
class Detectable:
    """Minimum detectable difference between two levels, at 80 % power.

    Attributes:
        by_seeds: number of seeds -> minimum detectable difference, on the analysis scale.
        text_by_seeds: number of seeds -> the same difference, formatted with its unit.
        observed: observed difference between the best level and the next.
        observed_text: `observed`, formatted with its unit.
        allowed: upper confidence limit of that difference; None if there is no interval.
        allowed_text: `allowed`, formatted with its unit; None if there is no interval.
    """

    by_seeds: Mapping[int, float]
    text_by_seeds: Mapping[int, str]
    observed: float
    observed_text: str
    allowed: float | None
    allowed_text: str | None


@dataclass(frozen=True)
class ResolutionEvidence:
    """Minimum detectable differences, by parameter."""

    parameters: Mapping[str, Detectable]


@dataclass(frozen=True)
class BestSetEvidence:
    """Configurations that are statistically tied with the best, by their numbers in the plan.

    Attributes:
        observed_best: configuration with the best observed mean.
        possibly_best: configurations that are statistically tied with the best.
        tested: number of configurations that were compared.
        note: caveat about the score of the observed best.
    """

    observed_best: int
    possibly_best: tuple[int, ...]
    tested: int
    note: str


@dataclass(frozen=True)
class ConfirmationEvidence:
    """The experiment that selected the configuration."""

    chosen_by: str


@dataclass(frozen=True)
class CheckpointEvidence:
    """The run with the best observed checkpoint, and the number of checkpoints that it beats significantly."""

    best: str
    beaten: int


@dataclass(frozen=True)
class StageEvidence:
    """The metric by which the models before and after a training stage are compared."""

    metric: str


@dataclass(frozen=True)
class FailureEvidence:
    """Failure rates by level.

    Attributes:
        p_unadjusted: unadjusted p-value; None if runs are not independent.
        failed_and_total: level -> number of failed runs, number of runs that ended.
    """

    p_unadjusted: float | None
    failed_and_total: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class SecondaryEvidence:
    """The level with the best observed mean of a secondary metric."""

    observed_best: Level


@dataclass(frozen=True)
class InertEvidence:
    """Pairs of runs that produced identical files (the first pairs, if there are many)."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ArmEvidence:
    """Comparison of two arms.

    Attributes:
        metric: the metric that was compared.
        better: arm with the better mean; None if nothing was tested.
        difference: second arm minus first, on the analysis scale: negative is better.
    """

    metric: str
    better: str | None = None
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class DifferenceEvidence(ArmEvidence):
    """Two arms on one system.

    Attributes:
        probability_of_improvement: probability that a run of the second arm is better than one of the first; None if
            an arm has no run, or if runs are paired.
        permutation_p: p-value of the max-T permutation test; None if runs are paired or too few.
    """

    probability_of_improvement: float | None = None
    permutation_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class TheseSystemsEvidence(ArmEvidence):
    """Two arms over the tested systems."""

    systems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GeneralEvidence(ArmEvidence):
    """Two arms over systems in general: the observed difference on each system, on the analysis scale."""

    differences: tuple[float, ...]


@dataclass(frozen=True)
class RankEvidence:
    """Mean ranks of arms over systems; rank 1 is best."""

    arms: tuple[Level, ...]
    mean_ranks: tuple[float, ...]
    systems: int


@dataclass(frozen=True)
class SeedEvidence:
    """Correlation between runs that share a seed.

    Attributes:
        declared_block: the plan declares the seed as a block.
        seeds: number of seeds that all configurations share.
    """

    declared_block: bool
    seeds: int


@dataclass(frozen=True)
class SourceEvidence:
    """The adapters that were trained on the source."""

    adapters: tuple[str, ...]


Evidence = (
    ImpactEvidence
    | LevelEvidence
    | EffectEvidence
    | TrendEvidence
    | EquivalenceEvidence
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
