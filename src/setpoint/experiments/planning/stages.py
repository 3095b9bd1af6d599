"""The kinds of stages: the code that runs them, and what of that code belongs to their identity."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from setpoint import provenance
from setpoint.artifacts import StageKind

_CONTROL = ("modes", "plants", "problems", "simulation", "metrics")
_MODEL = (*_CONTROL, "language", "policies")


@dataclass(frozen=True, slots=True)
class StageCode:
    """The code of one kind of stage.

    Attributes:
        target: `module:function`, imported only by the worker that runs it.
        version: raised when results change although no source below did.
        layers: parts of this package whose sources can change the result.
        packages: distributions whose versions can change the result.
    """

    target: str
    version: int
    layers: tuple[str, ...]
    packages: tuple[str, ...]

    def code(self) -> dict[str, Any]:
        """The identity of the code of this kind."""
        return _code(self)

    def origins(self) -> dict[str, Any]:
        """What `code` is made of, layer by layer, so that a difference can be named."""
        return {
            "version": self.version,
            "layers": provenance.layer_digests(self.layers),
            "packages": provenance.package_versions(self.packages),
        }


@cache
def _code(stage: StageCode) -> dict[str, Any]:
    return {
        "version": stage.version,
        "sources": provenance.code_digest(stage.layers),
        "packages": provenance.package_versions(stage.packages),
    }


_TRAINING_PACKAGES = ("torch", "transformers", "trl", "peft")

STAGES: dict[StageKind, StageCode] = {
    StageKind.SFT: StageCode(
        "setpoint.training.sft:run", 1, (*_MODEL, "demonstrations", "training"), _TRAINING_PACKAGES
    ),
    StageKind.GRPO: StageCode(
        "setpoint.training.grpo:run", 1, (*_MODEL, "controllers", "rewards", "training"), _TRAINING_PACKAGES
    ),
    StageKind.EVALUATE: StageCode(
        "setpoint.evaluation.stage:run_policy",
        1,
        (*_MODEL, "controllers", "episodes", "evaluation"),
        ("numpy", "torch", "transformers", "peft"),
    ),
    StageKind.REFERENCE: StageCode(
        "setpoint.evaluation.stage:run_reference",
        1,
        (*_CONTROL, "controllers", "episodes", "evaluation"),
        ("numpy", "scipy", "casadi"),
    ),
}

# What the fork server imports before the first worker starts: most of the start-up time of a training stage.
PRELOAD = (
    *("torch", "transformers", "peft", "datasets", "trl.trainer.sft_trainer", "trl.trainer.grpo_trainer", "casadi"),
    *sorted({stage.target.partition(":")[0] for stage in STAGES.values()}),
)
