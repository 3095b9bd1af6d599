"""Supervised fine-tuning: LoRA on optimal answers, with the loss on the answer tokens only."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from setpoint.artifacts import StageContext
from setpoint.policies.presets import TINY
from setpoint.training.batches import BatchLayout
from setpoint.training.callbacks import KeepBest, TrainingCurve, best_index, diverged, validation_losses
from setpoint.training.checkpoints import SealCheckpoints
from setpoint.training.config import SftParameters
from setpoint.training.label_positions import score_labels_only
from setpoint.training.rows import Example, Examples, load_examples, schedule
from setpoint.training.session import Session, mean_at_ends

_VALIDATION_ROWS = 200
_COLLAPSED = 0.9
"""Share of log(vocabulary), the loss of uniform guessing, above which the language model has collapsed."""


def run(context: StageContext) -> dict[str, Any]:
    """Train an adapter on demonstrations, write it to `adapter/` and return the summary.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter is invalid.
        StageError: training diverged or did not change the adapter.
    """
    parameters = SftParameters.model_validate(context.config["sft"])
    examples = load_examples(context.workspace, context.config, "train")
    validation = load_examples(context.workspace, context.config, "validation")
    session = Session.open(context)
    keep_best = KeepBest(parameters.patience, context.checkpoints) if parameters.patience else None

    seen = schedule(examples, parameters.steps * parameters.batch_size, "sft", context.seed)
    callbacks = [TrainingCurve("sft", context.log), *([keep_best] if keep_best else [])]

    def build(layout: BatchLayout) -> Any:
        return supervised_trainer(session, parameters, layout, seen, validation, callbacks)

    trainer, layout = session.train(build, BatchLayout.of(session.runtime, parameters.batch_size))
    kept_step, validation_loss = _select_adapter(session, trainer, keep_best)
    rows_seen = trainer.state.global_step * parameters.batch_size
    return {
        **session.publish(trainer, layout),
        **training_losses(trainer),
        "validation_loss": validation_loss,
        "kept_step": kept_step,
        "rows": sum(map(len, examples.values())),
        "rows_seen": rows_seen,
        "tokens": sum(map(len, trainer.train_dataset[:rows_seen]["input_ids"])),
    }


def _select_adapter(session: Session, trainer: Any, keep_best: KeepBest | None) -> tuple[int, float]:
    """Load the last or best adapter into the model, and return its step and validation loss.

    Raises:
        StageError: the model is hardly better than uniform guessing.
    """
    losses = validation_losses(trainer.state)
    if not losses or losses[-1][0] != trainer.state.global_step:
        trainer.evaluate()
        losses = validation_losses(trainer.state)
    kept = len(losses) - 1
    if keep_best is not None and best_index(losses) != kept:
        kept = best_index(losses)
        session.model.load_state_dict(keep_best.best(), strict=False)
    step, loss = losses[kept]
    guessing = math.log(len(session.chat.tokenizer))
    trained = training_losses(trainer)
    if loss > _COLLAPSED * guessing and trained["final_loss"] > trained["first_loss"]:
        message = f"the validation loss of {loss:.3g} is close to that of uniform guessing ({guessing:.3g})"
        raise diverged(message, trainer.state)
    return step, loss


def supervised_trainer(
    session: Session,
    parameters: SftParameters,
    layout: BatchLayout,
    seen: list[Example],
    validation: Examples,
    callbacks: Sequence[TrainerCallback],
) -> Any:
    """Return a trainer that sees the examples `seen` once, in order, and seals its checkpoints."""
    from datasets import disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    if session.base.preset.name != TINY.name:
        score_labels_only()
    held_out = schedule(validation, min(_VALIDATION_ROWS, sum(map(len, validation.values()))), "validation")
    arguments = SFTConfig(
        **session.arguments(parameters, layout),
        weight_decay=parameters.weight_decay,
        train_sampling_strategy="sequential",
        max_length=None,
        completion_only_loss=True,
        eval_strategy="steps" if parameters.validation_every else "no",
        eval_steps=parameters.validation_every or None,
        per_device_eval_batch_size=session.runtime.generation_batch_size,
    )
    distinct = {id(example): example for example in seen}
    trainer = SFTTrainer(
        model=session.model,
        args=arguments,
        train_dataset=_encoded(list(distinct.values()), session),
        eval_dataset=_encoded(held_out, session),
        processing_class=session.chat.tokenizer,
        callbacks=[*callbacks, SealCheckpoints(session.fingerprint, session.context.must_end)],
    )
    # Repeat examples only after tokenisation, so that each is tokenised once.
    position = {key: index for index, key in enumerate(distinct)}
    trainer.train_dataset = trainer.train_dataset.select([position[id(example)] for example in seen])
    return trainer


def _encoded(examples: list[Example], session: Session) -> Any:
    """Return the tokens of the examples: those that evaluation asks with, then those of the answer."""
    from datasets import Dataset

    rows = []
    for example in examples:
        chat = example.prompt(session.prompt_format)
        prompt, answer = session.chat.prompt(chat), session.chat.answer(chat, example.answer(session.prompt_format))
        rows.append({"input_ids": prompt + answer, "completion_mask": [0] * len(prompt) + [1] * len(answer)})
    return Dataset.from_list(rows)


def training_losses(trainer: Any) -> dict[str, float]:
    """Return the mean losses at both ends of the training, and the smallest loss."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    first, final = mean_at_ends(losses)
    return {"first_loss": first, "final_loss": final, "min_loss": min(losses)}
