"""Subjects of claims: factors, configurations, pairs of arms. `str(subject)` is the last part of a claim's id."""

from dataclasses import dataclass
from typing import Literal

from setpoint.analysis.data.experiment import Level
from setpoint.formatting import level_text


@dataclass(frozen=True)
class OneFactor:
    """One factor over all its levels."""

    factor: str

    def __str__(self) -> str:
        """Return `lora_rank`."""
        return self.factor


@dataclass(frozen=True)
class TwoFactors:
    """Two factors that may interact."""

    first: str
    second: str

    def __str__(self) -> str:
        """Return `lora_rank:learning_rate`."""
        return f"{self.first}:{self.second}"


@dataclass(frozen=True)
class FactorTrend:
    """The trend of one numeric factor, `linear` or `curvature`."""

    factor: str
    shape: Literal["linear", "curvature"]

    def __str__(self) -> str:
        """Return `lora_rank:linear`."""
        return f"{self.factor}:{self.shape}"


@dataclass(frozen=True)
class FactorSet:
    """Factors that change together."""

    factors: tuple[str, ...]

    def __str__(self) -> str:
        """Return `lora_rank+learning_rate`."""
        return "+".join(self.factors)


@dataclass(frozen=True)
class MetricByFactor:
    """One factor and a secondary metric."""

    metric: str
    factor: str

    def __str__(self) -> str:
        """Return `success_rate:lora_rank`."""
        return f"{self.metric}:{self.factor}"


@dataclass(frozen=True)
class ArmPair:
    """Two levels of one factor; the second is compared with the first."""

    factor: str
    first: Level
    second: Level

    @property
    def names(self) -> tuple[str, str]:
        """Return both levels as text."""
        return level_text(self.first), level_text(self.second)

    def __str__(self) -> str:
        """Return `model_type:specialist:universal`."""
        return ":".join((self.factor, *self.names))


@dataclass(frozen=True)
class OneConfiguration:
    """One configuration, by its number in the plan."""

    configuration: int

    def __str__(self) -> str:
        """Return `3`."""
        return str(self.configuration)


@dataclass(frozen=True)
class OneCell:
    """One cell of the design, named by the swept values that its runs share."""

    cell: str

    def __str__(self) -> str:
        """Return `lora_rank=4`."""
        return self.cell


Subject = OneFactor | TwoFactors | FactorTrend | FactorSet | MetricByFactor | ArmPair | OneConfiguration | OneCell
