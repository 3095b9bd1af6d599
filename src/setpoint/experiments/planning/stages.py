"""Code behind each kind of stage, and the part of it that counts towards a stage's identity."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from setpoint import provenance
from setpoint.artifacts import StageKind
from setpoint.records.plan import CodeIdentity

_CONTROL = ("modes", "plants", "problems", "simulation", "metrics")
_MODEL = (*_CONTROL, "language", "policies")


@dataclass(frozen=True, slots=True)
class StageCode:
    """Code of one kind of stage.

    Attributes:
        target: `module:function`, imported only by the worker that runs it.
        version: increment if results change although none of the layers below changed.
        layers: parts of this package whose sources can affect the result.
        packages: distributions whose versions can affect the result.
    """

    target: str
    version: int
    layers: tuple[str, ...]
    packages: tuple[str, ...]

    def code(self) -> dict[str, Any]:
        """Return the identity of the code."""
        return _code(self)

    def origins(self) -> CodeIdentity:
        """Return what `code` is computed from, layer by layer, so that a difference can be named."""
        return CodeIdentity(
            version=self.version,
            layers=provenance.layer_digests(self.layers),
            packages=provenance.package_versions(self.packages),
        )


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
    StageKind.DAGGER: StageCode(
        "setpoint.training.dagger:run",
        1,
        (*_MODEL, "controllers", "demonstrations", "training"),
        (*_TRAINING_PACKAGES, "numpy", "casadi"),
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

# Modules that the fork server imports once, because they take most of the start-up time of a training stage.
PRELOAD = (
    *("torch", "transformers", "peft", "datasets", "trl.trainer.sft_trainer", "trl.trainer.grpo_trainer", "casadi"),
    *sorted({stage.target.partition(":")[0] for stage in STAGES.values()}),
)
