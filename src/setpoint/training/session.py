"""Common parts of SFT and GRPO: setup, trainer arguments, training loop with failure handling, and publishing."""

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
from setpoint.policies.chat import ChatTokens
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
"""The trainers also seed NumPy's global generator, which accepts 32 bits."""
_CHECKPOINTS = 10
"""Regular checkpoints per training run."""


@dataclass(frozen=True)
class Session:
    """State of one training stage.

    Attributes:
        context: context of the stage.
        base: the base model.
        prompt_format: prompt and answer format.
        runtime: device and numerical settings.
        model: the base with the adapter to train.
        chat: tokenizer of the base, with its encoding of chats.
        initial: the adapter's tensors before training.
        fingerprint: digest of everything a checkpoint must share with this run to be resumed exactly.
    """

    context: StageContext
    base: BaseModel
    prompt_format: PromptFormat
    runtime: Runtime
    model: Any
    chat: ChatTokens
    initial: Tensors
    fingerprint: str

    @classmethod
    def open(cls, context: StageContext) -> "Session":
        """Load the base with the adapter of the upstream stage `parent`, or with a new one.

        Raises:
            InputError: the base differs from the planned one, or the adapter cannot be continued.
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
        model, chat = load_base(base, runtime)
        lora = LoraParameters.model_validate(config["lora"])
        parent = context.needs.get("parent")
        if parent is None:
            model = fresh_adapter(model, lora, derive_seed("adapter", context.seed))
        else:
            model = continued_adapter(model, parent / ADAPTER_FOLDER, base, lora)
        # PEFT reads the base's configuration from here (possibly from the hub) whenever it saves a checkpoint.
        model.peft_config[ADAPTER_NAME].base_model_name_or_path = base.location
        return cls(
            context=context,
            base=base,
            prompt_format=PromptFormat.from_definition(config["dialect"]),
            runtime=runtime,
            model=model,
            chat=chat,
            initial=trainable_tensors(model),
            fingerprint=_fingerprint(context, runtime),
        )

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`."""
        return len(self.chat.tokenizer(text, add_special_tokens=False)["input_ids"])

    def arguments(self, parameters: SftParameters | GrpoParameters, layout: BatchLayout) -> dict[str, Any]:
        """Return the trainer arguments shared by SFT and GRPO."""
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
        """Train, halving the micro-batch whenever memory runs out; return the trainer and the layout that fits.

        Raises:
            StageError: training diverged.
            torch.OutOfMemoryError: even single rows do not fit into memory.
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
            del trainer  # free its optimizer state and buffers
            self._reset()

    def _reset(self) -> None:
        """Restore the initial adapter and free memory; training then resumes from a checkpoint, if any."""
        for name in [name for name in self.model.peft_config if name != ADAPTER_NAME]:
            self.model.delete_adapter(name)
        self.model.load_state_dict(self.initial, strict=False)
        gc.collect()
        if self.runtime.device == "cuda":
            torch.cuda.empty_cache()

    def _run(self, trainer: Any) -> None:
        """Run `trainer` from the newest checkpoint that can be resumed exactly."""
        from transformers import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        # TRL and PEFT would each write a model card with every checkpoint, which takes longer than the tensors.
        trainer.create_model_card = self.model.create_or_update_model_card = _no_card
        checkpoint = newest_complete(self.context.checkpoints, self.fingerprint)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except RuntimeError as error:  # for example, sampling from NaN probabilities
            if not _finite(trainable_tensors(self.model)):
                raise diverged("the adapter contains NaN or infinite values", trainer.state) from error
            raise

    def publish(self, trainer: Any, layout: BatchLayout) -> dict[str, Any]:
        """Check and write the trained adapter; return the summary entries shared by SFT and GRPO.

        Raises:
            StageError: the adapter contains NaN or infinite values, or training did not change it.
        """
        trained = trainable_tensors(self.model)
        if not _finite(trained):
            raise diverged("the adapter contains NaN or infinite values", trainer.state)
        if all(torch.equal(trained[name], before) for name, before in self.initial.items()):
            raise StageError(
                "no_learning_signal",
                "training did not change the adapter",
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
    """Replacement that writes no model card; only the published adapter has one."""


def mean_at_ends(values: list[float]) -> tuple[float, float]:
    """Return the means of the first and the last tenth of `values` (at least one value each)."""
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
