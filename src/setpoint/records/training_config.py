"""Configuration of a training stage, as far as other stages and lists of models need it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from setpoint.artifacts import Fields, StageKind
from setpoint.records.plan import NamedDigest, PlannedStage


@dataclass(frozen=True)
class TrainingConfig:
    """What a trained adapter was made with.

    Attributes:
        prompt_format: definition of the prompt format.
        lora: shape of the adapter, by parameter.
        parameters: parameters of the training method, by name.
    """

    base: NamedDigest
    systems: tuple[str, ...]
    datasets: tuple[NamedDigest, ...]
    prompt_format: Mapping[str, Any]
    lora: Mapping[str, Any]
    rank: int
    parameters: Mapping[str, Any]

    @classmethod
    def read(cls, config: Fields, kind: StageKind) -> Self:
        """Check the configuration of a training stage of this kind.

        Raises:
            DamagedError: a field is missing or has the wrong type.
        """
        return cls(
            base=_named_digest(config.inner("base")),
            systems=config.texts("systems"),
            datasets=tuple(_named_digest(data) for data in config.inners("datasets")),
            prompt_format=config.table("dialect"),
            lora=config.table("lora"),
            rank=config.inner("lora").whole("rank", least=1),
            parameters=config.table(kind),
        )

    @classmethod
    def of(cls, stage: PlannedStage) -> Self:
        """Return the configuration of a planned training stage.

        Raises:
            DamagedError: the plan does not hold one.
        """
        return cls.read(stage.fields(), stage.kind)


def _named_digest(fields: Fields) -> NamedDigest:
    return NamedDigest(name=fields.line("name"), digest=fields.text("digest"))
