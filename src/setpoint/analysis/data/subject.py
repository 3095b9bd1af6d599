"""What a claim is about: a factor, several, a configuration, two arms. Written out, a subject is the end of an id."""

from dataclasses import dataclass

from setpoint.analysis.data.experiment import Level
from setpoint.formatting import level_text


@dataclass(frozen=True)
class OneFactor:
    """One factor over all its levels."""

    factor: str

    def __str__(self) -> str:
        """`lora_rank`."""
        return self.factor


@dataclass(frozen=True)
class TwoFactors:
    """Two factors in combination."""

    first: str
    second: str

    def __str__(self) -> str:
        """`lora_rank:learning_rate`."""
        return f"{self.first}:{self.second}"


@dataclass(frozen=True)
class FactorSet:
    """Factors that are changed together."""

    factors: tuple[str, ...]

    def __str__(self) -> str:
        """`lora_rank+learning_rate`."""
        return "+".join(self.factors)


@dataclass(frozen=True)
class MetricByFactor:
    """One factor and a metric that is not the primary one."""

    metric: str
    factor: str

    def __str__(self) -> str:
        """`success_rate:lora_rank`."""
        return f"{self.metric}:{self.factor}"


@dataclass(frozen=True)
class ArmPair:
    """Two levels of one factor, the second against the first."""

    factor: str
    first: Level
    second: Level

    @property
    def names(self) -> tuple[str, str]:
        """Both levels, in words."""
        return level_text(self.first), level_text(self.second)

    def __str__(self) -> str:
        """`model_type:specialist:universal`."""
        return ":".join((self.factor, *self.names))


@dataclass(frozen=True)
class OneConfiguration:
    """One configuration, by its number in the plan."""

    configuration: int

    def __str__(self) -> str:
        """`3`."""
        return str(self.configuration)


@dataclass(frozen=True)
class OneCell:
    """Runs of one recipe, by the swept values that they share."""

    cell: str

    def __str__(self) -> str:
        """`lora_rank=4`."""
        return self.cell


Subject = OneFactor | TwoFactors | FactorSet | MetricByFactor | ArmPair | OneConfiguration | OneCell
