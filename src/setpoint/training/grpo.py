"""Group relative policy optimisation (GRPO, Shao et al. 2024) with rewards from simulation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from setpoint import problems
from setpoint.artifacts import StageContext
from setpoint.errors import StageError
from setpoint.language import PromptFormat
from setpoint.policies.controller import answer_limit, moves_to_generate
from setpoint.policies.language_model import TEMPLATE_OPTIONS
from setpoint.policies.presets import TINY
from setpoint.rewards import RewardRule
from setpoint.training.batches import BatchLayout
from setpoint.training.callbacks import TrainingCurve
from setpoint.training.checkpoints import SealCheckpoints
from setpoint.training.config import GrpoParameters
from setpoint.training.label_positions import score_labels_only
from setpoint.training.rows import Example, Examples, load_examples, schedule
from setpoint.training.session import Session, mean_at_ends


def run(context: StageContext) -> dict[str, Any]:
    """Train an adapter with GRPO, write it to `adapter/` and return the summary.

    Training continues the adapter of the upstream stage `parent`, if there is one; otherwise it starts a new one.

    Raises:
        InputError: the configuration, the base, the data or the parent's adapter is invalid.
        StageError: training diverged, or the rewards gave no learning signal.
    """
    parameters = GrpoParameters.model_validate(context.config["grpo"])
    examples = load_examples(context.workspace, context.config, "train")
    session = Session.open(context)

    def build(layout: BatchLayout) -> Any:
        return _trainer(session, parameters, layout, examples)

    initial = BatchLayout.of(session.runtime, parameters.batch_size, parameters.group_size)
    trainer, layout = session.train(build, initial)
    rewards = _rewards(trainer)
    return {
        **session.publish(trainer, layout),
        **rewards,
        "rows": sum(map(len, examples.values())),
        "rows_seen": trainer.state.global_step * parameters.batch_size // parameters.group_size,
        "completions": trainer.state.global_step * parameters.batch_size,
    }


def _trainer(session: Session, parameters: GrpoParameters, layout: BatchLayout, examples: Examples) -> Any:
    from datasets import Dataset, disable_progress_bars
    from trl import GRPOConfig, GRPOTrainer

    disable_progress_bars()
    if session.base.preset.name != TINY.name:
        score_labels_only()
    context, prompt_format = session.context, session.prompt_format
    preset = session.base.preset
    horizon = parameters.reward_horizon or prompt_format.blocking.steps
    moves = moves_to_generate(preset, prompt_format, horizon)
    # A prompt gives one group of completions, so a step uses batch_size / group_size prompts.
    prompts = parameters.steps * parameters.batch_size // parameters.group_size
    seen = schedule(examples, prompts, "grpo", context.seed)
    arguments = GRPOConfig(
        **session.arguments(parameters, layout),
        steps_per_generation=layout.steps_per_generation,
        num_generations=parameters.group_size,
        max_completion_length=max(
            answer_limit(preset, problems.get(name), prompt_format, moves, session.count_tokens) for name in examples
        ),
        mask_truncated_completions=False,  # answers are truncated on purpose, after the moves that are scored
        temperature=parameters.temperature,
        beta=parameters.beta,
        loss_type=parameters.loss,  # dr_grpo: without length normalisation (Liu et al. 2025)
        scale_rewards=parameters.scale_rewards,
        chat_template_kwargs=TEMPLATE_OPTIONS,
    )
    rule = RewardRule(prompt_format, parameters.reward_horizon, parameters.reward_tolerance, cut_off=moves is not None)
    return GRPOTrainer(
        model=session.model,
        reward_funcs=_reward_function(rule),
        args=arguments,
        train_dataset=Dataset.from_list([_problem_row(example, prompt_format) for example in seen]),
        processing_class=session.tokenizer,
        callbacks=[TrainingCurve("grpo", context.log), SealCheckpoints(session.fingerprint, context.must_end)],
    )


def _problem_row(example: Example, prompt_format: PromptFormat) -> dict[str, Any]:
    return {
        "prompt": example.prompt(prompt_format),
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
