"""What SFT and GRPO have in common: the start, the trainer's arguments, the loop with its failures, the end."""

import gc
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from setpoint.artifacts import StageContext
from setpoint.errors import InputError, StageError
from setpoint.fingerprint import digest
from setpoint.language import PromptFormat
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.language_model import load_base
from setpoint.policies.runtime import Runtime
from setpoint.seeding import derive_seed
from setpoint.training.adapters import (
    ADAPTER_FOLDER,
    ADAPTER_NAME,
    Tensors,
    continued_adapter,
    fresh_adapter,
    save_adapter,
    trainable_tensors,
)
from setpoint.training.batches import BatchLayout
from setpoint.training.callbacks import diverged
from setpoint.training.checkpoints import newest_complete
from setpoint.training.config import GrpoParameters, LoraParameters, SftParameters

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
_SEED_RANGE = 2**32
"""NumPy's global generator, which the trainers seed as well, takes 32 bits."""
_CHECKPOINTS = 10


@dataclass(frozen=True)
class Session:
    """One training stage that is about to run.

    Attributes:
        context: what the stage was given.
        base: the base model.
        prompt_format: how it is spoken to.
        runtime: where it computes.
        model: the base with the adapter to train.
        tokenizer: of the base.
        initial: the adapter's tensors before training.
        fingerprint: of everything that a checkpoint must share with this run to continue it exactly.
    """

    context: StageContext
    base: BaseModel
    prompt_format: PromptFormat
    runtime: Runtime
    model: Any
    tokenizer: Any
    initial: Tensors
    fingerprint: str

    @classmethod
    def open(cls, context: StageContext) -> "Session":
        """Load the base, and the adapter of the stage `parent` or else a fresh one.

        Raises:
            InputError: the base is not the one that was planned with, or the adapter cannot be continued.
        """
        config = context.config
        base = resolve_base(config["base"]["name"])
        if base.digest != config["base"]["digest"]:
            raise InputError(
                f"base model {base.name!r} has digest {base.digest}, but this stage was planned with "
                f"{config['base']['digest']}. Plan the experiment again, or restore the model."
            )
        runtime = Runtime.detect(base.preset)
        runtime.apply()
        model, tokenizer = load_base(base, runtime)
        lora = LoraParameters.model_validate(config["lora"])
        parent = context.needs.get("parent")
        if parent is None:
            model = fresh_adapter(model, lora, derive_seed("adapter", context.seed))
        else:
            model = continued_adapter(model, parent / ADAPTER_FOLDER, base, lora)
        # Where PEFT looks for the base's configuration, on the hub if need be, whenever it saves a checkpoint.
        model.peft_config[ADAPTER_NAME].base_model_name_or_path = base.location
        return cls(
            context=context,
            base=base,
            prompt_format=PromptFormat.from_definition(config["dialect"]),
            runtime=runtime,
            model=model,
            tokenizer=tokenizer,
            initial=trainable_tensors(model),
            fingerprint=_fingerprint(context, runtime),
        )

    def arguments(self, parameters: SftParameters | GrpoParameters, layout: BatchLayout) -> dict[str, Any]:
        """The trainer's arguments that do not depend on the method."""
        seed = derive_seed("sampling", self.context.kind, self.context.seed) % _SEED_RANGE
        return {
            "output_dir": str(self.context.checkpoints),
            "max_steps": parameters.steps,
            "per_device_train_batch_size": layout.micro_batch,
            "gradient_accumulation_steps": layout.accumulation,
            "learning_rate": parameters.learning_rate,
            "lr_scheduler_type": parameters.schedule,
            "warmup_steps": parameters.warmup_steps,
            "max_grad_norm": parameters.max_grad_norm,
            "shuffle_dataset": False,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "steps",
            "save_steps": math.ceil(parameters.steps / _CHECKPOINTS),
            "seed": seed,
            "data_seed": seed,
            "report_to": "none",
            "disable_tqdm": True,
            "log_level": "error",
            **self.runtime.training_arguments(),
        }

    def train(self, build: Callable[[BatchLayout], Any], layout: BatchLayout) -> tuple[Any, BatchLayout]:
        """Train, in smaller and smaller parts while memory runs out; returns the trainer and the layout that fitted.

        Raises:
            StageError: training diverged.
            torch.OutOfMemoryError: single rows do not fit either.
        """
        while True:
            trainer = build(layout)
            try:
                self._run(trainer)
                return trainer, layout
            except torch.OutOfMemoryError:
                smaller = layout.smaller()
                if smaller is None:
                    raise
            layout = smaller
            del trainer  # with its optimizer and buffers
            self._restart()

    def _restart(self) -> None:
        """Bring the model back to where it was before training; a checkpoint replaces that, if there is one."""
        for name in [name for name in self.model.peft_config if name != ADAPTER_NAME]:
            self.model.delete_adapter(name)
        self.model.load_state_dict(self.initial, strict=False)
        gc.collect()
        if self.runtime.device == "cuda":
            torch.cuda.empty_cache()

    def _run(self, trainer: Any) -> None:
        """Run `trainer`, from the newest checkpoint that can be continued exactly."""
        from transformers import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        # With every checkpoint TRL and PEFT would each write a card for a reader, which takes longer than the tensors.
        trainer.create_model_card = self.model.create_or_update_model_card = _no_card
        checkpoint = newest_complete(self.context.checkpoints, self.fingerprint)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except RuntimeError as error:  # sampling from NaN probabilities, for one, is a RuntimeError
            if not _finite(trainable_tensors(self.model)):
                raise diverged("the adapter holds numbers that are not finite", trainer.state) from error
            raise

    def publish(self, trainer: Any, layout: BatchLayout) -> dict[str, Any]:
        """Check the trained adapter, write it, and return the part of the summary that all methods share.

        Raises:
            StageError: the adapter is not finite, or training left it as it was.
        """
        trained = trainable_tensors(self.model)
        if not _finite(trained):
            raise diverged("the adapter holds numbers that are not finite", trainer.state)
        if all(torch.equal(trained[name], before) for name, before in self.initial.items()):
            raise StageError(
                "no_learning_signal",
                "training left the adapter unchanged",
                evidence={"steps": trainer.state.global_step},
                suggestion="use a higher learning_rate or more steps",
            )
        config = self.context.config
        record = {"kind": self.context.kind, **config, "seed": self.context.seed, "stage": self.context.stage_id}
        save_adapter(self.model, self.context.output / ADAPTER_FOLDER, record)
        return {
            "steps": trainer.state.global_step,
            "trainable_parameters": sum(tensor.numel() for tensor in trained.values()),
            "micro_batch": layout.micro_batch,
            "memory_reductions": layout.reductions,
            **self.runtime.describe(),
        }


def _no_card(*_: Any, **__: Any) -> None:
    """Nobody reads checkpoints; the adapter that is published has a card of its own."""


def mean_at_ends(values: list[float]) -> tuple[float, float]:
    """Means of the first and of the last tenth of `values` (at least one value each)."""
    share = max(1, len(values) // 10)
    return sum(values[:share]) / share, sum(values[-share:]) / share


def _fingerprint(context: StageContext, runtime: Runtime) -> str:
    return digest(
        {
            "kind": context.kind,
            "config": context.config,
            "seed": context.seed,
            "needs": {role: path.name for role, path in context.needs.items()},
            "runtime": [runtime.device, runtime.precision],
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
    )


def _finite(tensors: Tensors) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
