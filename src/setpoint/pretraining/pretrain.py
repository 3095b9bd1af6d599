"""Pre-training of the built-in base on the corpus: all weights, loss on the answers only.

Muon (Jordan et al. 2024) on the hidden matrices and AdamW on the rest. The rate is constant in the first phase, whose
end is a checkpoint from which training can continue, and decays linearly in the last. The decay matters most: an
undecayed checkpoint has a good likelihood but controls poorly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from setpoint.pretraining.packing import Batch, Pack, batches, collate
from setpoint.pretraining.tokenizer import NUMBER_SHAPES, prompt_only_tokens


@dataclass(frozen=True)
class Architecture:
    """Shape of the Qwen3 model.

    Input and output embeddings are untied: tokens that never occur in answers can then be suppressed permanently,
    without affecting their input embeddings.
    """

    hidden_size: int = 64
    intermediate_size: int = 192
    num_hidden_layers: int = 3
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 16
    max_position_embeddings: int = 768


@dataclass(frozen=True)
class Pretraining:
    """Optimiser settings of one phase.

    Attributes:
        steps: optimizer steps; 0 leaves the phase out.
        batch_size: plants per step, with all their rows.
        decay_share: last share of the steps in which the rates decay linearly; 0 keeps them constant.
        margin: margin of the correct token kind over all others, in nats; see `TokenKinds`.
    """

    steps: int
    batch_size: int = 8
    muon_rate: float = 0.02
    adam_rate: float = 4e-3
    warmup_steps: int = 100
    decay_share: float = 0.0
    seed: int = 0
    margin: float = 0.0


_EVALUATED = 16
"""Packs per forward pass of an evaluation."""


@dataclass(frozen=True)
class TokenKinds:
    """Kinds of interchangeable tokens: pairs of digits, and integer parts after the same separator.

    Attributes:
        of_token: kind of each token, (V,).
    """

    of_token: torch.Tensor

    @classmethod
    def of(cls, tokenizer: Any) -> "TokenKinds":
        """Classify the vocabulary of a tokenizer; each non-numeric token is a separate kind."""
        names: dict[str, int] = {}
        kinds = []
        for token in range(len(tokenizer)):
            text = tokenizer.decode([token])
            shape = next(
                (str(n) for n, pattern in enumerate(NUMBER_SHAPES) if re.fullmatch(pattern, text)), f"token {token}"
            )
            kinds.append(names.setdefault(shape, len(names)))
        return cls(torch.tensor(kinds))


def build_model(architecture: Architecture, tokenizer: Any, seed: int) -> Any:
    """Return a randomly initialised model for the vocabulary of `tokenizer`."""
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **architecture.__dict__,
    )
    model = Qwen3ForCausalLM(config)
    # Tokens that occur only in prompts are never targets, so an adapter that changes the hidden states could make them
    # likely. Suppress them during generation.
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=prompt_only_tokens(tokenizer),
    )
    return model


def pretrain(
    model: Any,
    corpus: Sequence[Pack],
    held_out: Sequence[Pack],
    kinds: TokenKinds,
    recipe: Pretraining,
    log: Callable[[dict[str, Any]], None],
    checkpoint: Path | None = None,
) -> None:
    """Train `model` in place; `log` receives step, losses (nats per token) and CPU time (s) about 50 times.

    With `checkpoint`, the state of the training is written there regularly and at the end, and training continues from
    a file that is already there, also with more steps than it was written with.
    """
    torch.manual_seed(recipe.seed)
    optimizers = _optimizers(model, recipe)
    done, spent = _restore(checkpoint, model, optimizers)
    started, recent, every = process_time(), list[float](), max(1, recipe.steps // 50)
    stream = batches(corpus, recipe.batch_size, recipe.seed, done)
    model.train()
    for step in range(done, recipe.steps):
        _set_rates(optimizers, recipe, step)
        loss = answer_loss(model, next(stream), kinds, recipe.margin)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % every == 0 or step + 1 == recipe.steps:
            cpu_s = spent + process_time() - started
            log(
                {
                    "step": step + 1,
                    "train_nll": round(float(np.mean(recent)), 4),
                    "validation_nll": round(evaluate(model, held_out, kinds), 4),
                    "cpu_s": round(cpu_s, 1),
                }
            )
            recent.clear()
            if checkpoint is not None:
                _save(checkpoint, model, optimizers, step + 1, cpu_s)


def answer_loss(model: Any, batch: Batch, kinds: TokenKinds, margin: float = 0.0) -> torch.Tensor:
    """Return the mean negative log-likelihood of the answer tokens, in nats.

    With a margin, the logits of all tokens of a kind other than the target's are raised by it first, as in the additive
    margin softmax (Wang et al. 2018). Likelihood ratios within a kind do not change.
    """
    hidden = model.model(
        input_ids=batch.ids, attention_mask=batch.attention, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    # The hidden state before a token predicts it; an answer never begins a segment, so that state is of the same row.
    in_answer = batch.answers[:, 1:]
    targets = batch.ids[:, 1:][in_answer]
    logits = model.lm_head(hidden[:, :-1][in_answer])
    if margin > 0:
        logits = logits + margin * (kinds.of_token[targets][:, None] != kinds.of_token)
    return F.cross_entropy(logits, targets)


@torch.no_grad()
def evaluate(model: Any, held_out: Sequence[Pack], kinds: TokenKinds) -> float:
    """Return the mean loss per answer token over the held-out rows."""
    model.eval()
    total, tokens = 0.0, 0
    ordered = sorted(held_out, key=len)
    for start in range(0, len(ordered), _EVALUATED):
        batch = collate(ordered[start : start + _EVALUATED])
        count = int(batch.answers.sum())
        total, tokens = total + count * answer_loss(model, batch, kinds).item(), tokens + count
    model.train()
    return total / tokens


def _save(
    path: Path, model: Any, optimizers: list[tuple[torch.optim.Optimizer, float]], step: int, cpu_s: float
) -> None:
    state = {
        "step": step,
        "cpu_s": cpu_s,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)


def _restore(path: Path | None, model: Any, optimizers: list[tuple[torch.optim.Optimizer, float]]) -> tuple[int, float]:
    """Load a checkpoint, if there is one; return its step and CPU time."""
    if path is None or not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for (optimizer, _), saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"], state["cpu_s"]


def _optimizers(model: Any, recipe: Pretraining) -> list[tuple[torch.optim.Optimizer, float]]:
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or ".layers." not in name]
    return [
        (torch.optim.Muon(hidden, lr=recipe.muon_rate, momentum=0.95, weight_decay=0.01), recipe.muon_rate),
        (torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0), recipe.adam_rate),
    ]


def _set_rates(optimizers: list[tuple[torch.optim.Optimizer, float]], recipe: Pretraining, step: int) -> None:
    left = 1 - step / recipe.steps
    decay = max(left / recipe.decay_share, 0.01) if recipe.decay_share else 1.0
    factor = min(1.0, (step + 1) / recipe.warmup_steps, decay)
    for optimizer, rate in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
