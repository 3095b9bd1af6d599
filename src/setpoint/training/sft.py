"""Supervised fine-tuning: LoRA on optimal answers, with the loss on the answer alone."""

import math
from typing import Any

from setpoint.artifacts import StageContext
from setpoint.training.callbacks import KeepBest, TrainingCurve, best_index, validation_losses
from setpoint.training.checkpoints import SealCheckpoints
from setpoint.training.config import SftParameters
from setpoint.training.rows import Row, load_rows, schedule
from setpoint.training.session import Session, mean_at_ends

_VALIDATION_ROWS = 200


def run(context: StageContext) -> dict[str, Any]:
    """Train an adapter on demonstrations; writes `adapter/` and returns the summary.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter cannot be used.
        StageError: training diverged or left the adapter unchanged.
    """
    parameters = SftParameters.model_validate(context.config["sft"])
    rows = load_rows(context.workspace, context.config, "train")
    validation = load_rows(context.workspace, context.config, "validation")
    session = Session.open(context)
    keep_best = KeepBest(parameters.patience, context.checkpoints) if parameters.patience else None
    trainer = _trainer(session, parameters, rows, validation, keep_best)
    session.train(trainer)
    losses = validation_losses(trainer.state)
    if not losses or losses[-1][0] != trainer.state.global_step:
        trainer.evaluate()
        losses = validation_losses(trainer.state)
    best = len(losses) - 1
    if keep_best is not None and best_index(losses) != best:
        best = best_index(losses)
        session.model.load_state_dict(keep_best.best(), strict=False)
    return {
        **session.publish(trainer),
        **_training_losses(trainer),
        "validation_loss": losses[best][1],
        "kept_step": losses[best][0],
        "rows": sum(len(found) for found in rows.values()),
        "rows_seen": trainer.state.global_step * parameters.batch_size,
    }


def _trainer(
    session: Session,
    parameters: SftParameters,
    rows: dict[str, list[Row]],
    validation: dict[str, list[Row]],
    keep_best: KeepBest | None,
) -> Any:
    from datasets import disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    context = session.context
    seen = schedule(rows, parameters.steps * parameters.batch_size, "sft", context.seed)
    held_out = schedule(validation, min(_VALIDATION_ROWS, sum(map(len, validation.values()))), "validation")
    arguments = SFTConfig(
        **session.arguments(parameters),
        weight_decay=parameters.weight_decay,
        train_sampling_strategy="sequential",
        max_length=None,
        completion_only_loss=True,
        eval_strategy="steps" if parameters.validation_every else "no",
        eval_steps=parameters.validation_every or None,
        per_device_eval_batch_size=session.runtime.generation_batch_size,
    )
    # Guessing every token evenly costs log(vocabulary); twice that is no stage of learning.
    curve = TrainingCurve("sft", context.log, loss_limit=2 * math.log(len(session.tokenizer)))
    callbacks = [curve, *([keep_best] if keep_best else []), SealCheckpoints(session.fingerprint)]
    distinct = {id(row): row for row in seen}
    trainer = SFTTrainer(
        model=session.model,
        args=arguments,
        train_dataset=_chats(list(distinct.values()), session),
        eval_dataset=_chats(held_out, session),
        processing_class=session.tokenizer,
        callbacks=callbacks,
    )
    position = {key: index for index, key in enumerate(distinct)}
    trainer.train_dataset = trainer.train_dataset.select([position[id(row)] for row in seen])  # tokenised once each
    return trainer


def _chats(rows: list[Row], session: Session) -> Any:
    from datasets import Dataset

    dialect = session.dialect
    return Dataset.from_list([{"prompt": row.prompt(dialect), "completion": row.answer(dialect)} for row in rows])


def _training_losses(trainer: Any) -> dict[str, float]:
    history = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    tokens = [entry["num_tokens"] for entry in history if "num_tokens" in entry]
    first, final = mean_at_ends(losses)
    return {"first_loss": first, "final_loss": final, "min_loss": min(losses), "tokens": max(tokens)}
