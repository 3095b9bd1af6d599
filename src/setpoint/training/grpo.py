"""Group relative policy optimisation (GRPO, Shao et al. 2024) with rewards from simulation."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from setpoint.artifacts import StageContext, read_json, write_json
from setpoint.errors import StageError
from setpoint.policies.chat import TEMPLATE_OPTIONS
from setpoint.policies.language_model import room_for_answer
from setpoint.policies.presets import TINY
from setpoint.rewards import RewardRule
from setpoint.training.batches import BatchLayout
from setpoint.training.callbacks import TrainingCurve
from setpoint.training.checkpoints import SealCheckpoints
from setpoint.training.config import GrpoParameters
from setpoint.training.held_out import HeldOutRewards
from setpoint.training.label_positions import score_labels_only
from setpoint.training.rows import Example, Examples, load_examples, schedule
from setpoint.training.scoring import Preflight, Scoring, preflight
from setpoint.training.session import Session, mean_at_ends

_HELD_OUT = 64
"""Held-out states that are scored during training."""
_PREFLIGHT_PROMPTS = 16


def run(context: StageContext) -> dict[str, Any]:
    """Train an adapter with GRPO, write it to `adapter/` and return the summary.

    Training continues the adapter of the upstream stage `parent`, if there is one; otherwise it starts a new one.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter is invalid.
        StageError: training diverged, or the rewards gave no learning signal.
    """
    parameters = GrpoParameters.model_validate(context.config["grpo"])
    examples = load_examples(context.workspace, context.config, "train")
    validation = load_examples(context.workspace, context.config, "validation")
    session = Session.open(context)
    scoring = Scoring.of(session, parameters, list(examples))
    before = _preflight_once(scoring, parameters, examples, context)
    before.require_signal()
    scored = schedule(validation, min(_HELD_OUT, sum(map(len, validation.values()))), "grpo")
    greedy = partial(scoring.greedy_rewards, scored)
    held_out = HeldOutRewards(greedy, parameters.validation_every, context.checkpoints, context.log)

    def build(layout: BatchLayout) -> Any:
        return _trainer(session, parameters, layout, examples, scoring, held_out)

    initial = BatchLayout.of(session.runtime, parameters.batch_size, parameters.group_size)
    trainer, layout = session.train(build, initial)
    rewards = _rewards(trainer)
    gain = held_out.gain(trainer.state)
    session.model.load_state_dict(held_out.best(), strict=False)
    return {
        **session.publish(trainer, layout),
        **rewards,
        **gain.summary(),
        **before.summary(),
        "rows": sum(map(len, examples.values())),
        "rows_seen": trainer.state.global_step * parameters.batch_size // parameters.group_size,
        "completions": trainer.state.global_step * parameters.batch_size,
    }


def run_preflight(context: StageContext) -> dict[str, Any]:
    """Return what a stage would find before its first step, without training; nothing is refused.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter is invalid.
    """
    parameters = GrpoParameters.model_validate(context.config["grpo"])
    examples = load_examples(context.workspace, context.config, "train")
    scoring = Scoring.of(Session.open(context), parameters, list(examples))
    return dict(_preflight(scoring, parameters, examples, context).summary())


def _preflight(scoring: Scoring, parameters: GrpoParameters, examples: Examples, context: StageContext) -> Preflight:
    return preflight(scoring, parameters, schedule(examples, _PREFLIGHT_PROMPTS, "preflight", context.seed))


def _preflight_once(
    scoring: Scoring, parameters: GrpoParameters, examples: Examples, context: StageContext
) -> Preflight:
    """Return the pre-flight of this stage; an earlier attempt has left it beside its checkpoints."""
    file = context.checkpoints / "preflight.json"
    stored = read_json(file)
    fingerprint = scoring.session.fingerprint
    if isinstance(stored, dict) and stored.get("fingerprint") == fingerprint:
        return Preflight(**stored["found"])
    found = _preflight(scoring, parameters, examples, context)
    context.log({"step": 0, "stage": "grpo", **found.summary()})
    write_json(file, {"fingerprint": fingerprint, "found": asdict(found)})
    return found


def _trainer(
    session: Session,
    parameters: GrpoParameters,
    layout: BatchLayout,
    examples: Examples,
    scoring: Scoring,
    held_out: HeldOutRewards,
) -> Any:
    from datasets import Dataset, disable_progress_bars
    from trl import GRPOConfig

    from setpoint.training.move_trainer import MoveTrainer

    disable_progress_bars()
    if session.base.preset.name != TINY.name:
        score_labels_only()
    context = session.context
    # A prompt gives one group of completions, so a step uses batch_size / group_size prompts.
    prompts = parameters.steps * parameters.batch_size // parameters.group_size
    seen = schedule(examples, prompts, "grpo", context.seed)
    arguments = GRPOConfig(
        **session.arguments(parameters, layout),
        steps_per_generation=layout.steps_per_generation,
        num_generations=parameters.group_size,
        max_completion_length=_longest_answer(session, seen, scoring.tokens),
        mask_truncated_completions=False,  # answers are truncated on purpose, after the moves that are scored
        temperature=parameters.temperature,
        beta=parameters.beta,
        loss_type=parameters.loss,  # dr_grpo: without length normalisation (Liu et al. 2025)
        scale_rewards=parameters.scale_rewards,
        chat_template_kwargs=TEMPLATE_OPTIONS,
    )
    return MoveTrainer(
        moves_only=parameters.scored_tokens == "moves",
        model=session.model,
        reward_funcs=_reward_function(scoring.rule),
        args=arguments,
        train_dataset=Dataset.from_list([_problem_row(example, session) for example in seen]),
        processing_class=session.chat.tokenizer,
        callbacks=[
            TrainingCurve("grpo", context.log),
            held_out,
            SealCheckpoints(session.fingerprint, context.must_end),
        ],
    )


def _longest_answer(session: Session, seen: Sequence[Example], wanted: int) -> int:
    """Return the limit on sampled tokens: what answers need, within the context of the base."""
    longest = max(len(session.chat.prompt(example.prompt(session.prompt_format))) for example in seen)
    return room_for_answer(session.model, longest, wanted)


def _problem_row(example: Example, session: Session) -> dict[str, Any]:
    return {
        "prompt": session.chat.folded(example.prompt(session.prompt_format)),
        "system": example.system,
        "state": example.state.tolist(),
        "optimal_cost": example.optimal_cost,
    }


def _reward_function(rule: RewardRule) -> Callable[..., list[float]]:
    def reward(
        completions: Sequence[Sequence[dict[str, str]]],
        system: Sequence[str],
        state: Sequence[Sequence[float]],
        optimal_cost: Sequence[float],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float]:
        """Score a batch and log the reward components."""
        texts = [completion[0]["content"] for completion in completions]
        scores = rule.score(texts, system, state, optimal_cost)
        log_metric("score/readable", float(scores.readable.mean()))
        if scores.readable.any():
            for name in ("cost", "log_error", "violation"):
                log_metric(f"score/{name}", float(np.nanmean(getattr(scores, name))))
        rewards: list[float] = scores.reward.tolist()
        return rewards

    return reward


def _rewards(trainer: Any) -> dict[str, float]:
    """Summarise rewards at the start and end of training, and the share of groups with a learning signal.

    Raises:
        StageError: in every step, all completions of each prompt had equal rewards.
    """
    history = [entry for entry in trainer.state.log_history if "reward" in entry]
    without_spread = [entry["frac_reward_zero_std"] for entry in history]
    readable = [entry["score/readable"] for entry in history]
    start, end = mean_at_ends([entry["reward"] for entry in history])
    # Advantages are relative to the group mean: a group with equal rewards has zero gradient.
    if min(without_spread) == 1.0:
        raise StageError(
            "no_learning_signal",
            "all completions of each prompt had equal rewards in every step, so there was no learning signal",
            evidence={"steps": len(history), "mean_reward": end, "readable_share": sum(readable) / len(readable)},
            suggestion="if answers are unreadable, train with SFT first; otherwise raise temperature or "
            "num_generations, or lower reward_tolerance",
        )
    return {
        "reward_start": start,
        "reward_end": end,
        "readable_start": mean_at_ends(readable)[0],
        "readable_end": mean_at_ends(readable)[1],
        "groups_with_spread": 1.0 - sum(without_spread) / len(without_spread),
        "final_loss": mean_at_ends([entry["loss"] for entry in history])[1],
        "tokens": max(entry["num_tokens"] for entry in history),
    }
