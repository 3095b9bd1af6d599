"""Pre-training of the built-in base on the corpus: all weights, loss on the answers only.

Muon (Jordan et al. 2024) on the hidden matrices and AdamW on the rest, with a constant learning rate followed by linear
decay. The decay matters most: an undecayed checkpoint has a good likelihood but controls poorly.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

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
    max_position_embeddings: int = 512


@dataclass(frozen=True)
class Pretraining:
    """Optimiser settings of one phase."""

    steps: int = 16_000
    batch_size: int = 32
    muon_rate: float = 0.02
    adam_rate: float = 4e-3
    warmup_steps: int = 100
    decay_share: float = 0.6
    seed: int = 0
    margin: float = 0.0
    """Margin of the correct token kind over all others, in nats; see `TokenKinds`."""


SETTLING = Pretraining(steps=2_500, muon_rate=0.006, adam_rate=1.2e-3, decay_share=1.0, seed=1, margin=6.0)
"""Last phase. Likelihood alone does not determine how far invalid tokens rank below valid ones, so that fine-tuning
occasionally makes an invalid token the most likely one. A margin between token kinds prevents this."""


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


@dataclass(frozen=True)
class EncodedCorpus:
    """Token ids, (n, T), right-padded, and the start and end of the answer in each row, (n, 2)."""

    ids: np.ndarray
    spans: np.ndarray

    def head(self, rows: int) -> "EncodedCorpus":
        """Return the first `rows` rows."""
        return EncodedCorpus(self.ids[:rows], self.spans[:rows])


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
    corpus: EncodedCorpus,
    held_out: EncodedCorpus,
    kinds: TokenKinds,
    recipe: Pretraining,
    log: Callable[[dict[str, Any]], None],
) -> None:
    """Train `model` in place; `log` receives step, losses (nats per token) and CPU time (s) about 100 times."""
    torch.manual_seed(recipe.seed)
    optimizers = _optimizers(model, recipe)
    batches = _batches(corpus, recipe)
    started, recent, every = process_time(), list[float](), max(1, recipe.steps // 100)
    model.train()
    for step in range(recipe.steps):
        _set_rates(optimizers, recipe, step)
        loss = answer_loss(model, *next(batches), kinds, recipe.margin)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        recent.append(loss.item())
        if (step + 1) % every == 0 or step + 1 == recipe.steps:
            log(
                {
                    "step": step + 1,
                    "train_nll": round(float(np.mean(recent)), 4),
                    "validation_nll": round(evaluate(model, held_out, kinds), 4),
                    "cpu_s": round(process_time() - started, 1),
                }
            )
            recent.clear()


def answer_loss(
    model: Any, ids: torch.Tensor, spans: torch.Tensor, kinds: TokenKinds, margin: float = 0.0
) -> torch.Tensor:
    """Return the mean negative log-likelihood of the answer tokens, in nats.

    With a margin, the logits of all tokens of a kind other than the target's are raised by it first, as in the additive
    margin softmax (Wang et al. 2018). Likelihood ratios within a kind do not change.

    Args:
        ids: token ids, (B, T), right-padded; attention is causal, so the padding needs no mask.
        spans: start and end of each answer, (B, 2).
    """
    # The hidden state at position t - 1 predicts the token at t; logits are computed for answer tokens only.
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    position = torch.arange(1, ids.shape[1])[None]
    in_answer = (position >= spans[:, :1]) & (position < spans[:, 1:])
    targets = ids[:, 1:][in_answer]
    logits = model.lm_head(hidden[in_answer])
    if margin > 0:
        logits = logits + margin * (kinds.of_token[targets][:, None] != kinds.of_token)
    return F.cross_entropy(logits, targets)


@torch.no_grad()
def evaluate(model: Any, held_out: EncodedCorpus, kinds: TokenKinds) -> float:
    """Return the mean loss over the held-out rows."""
    model.eval()
    losses = [
        answer_loss(model, *_tensors(held_out, rows), kinds) for rows in _split(np.arange(len(held_out.ids)), 128)
    ]
    model.train()
    return float(torch.stack(losses).mean())


def _optimizers(model: Any, recipe: Pretraining) -> list[tuple[torch.optim.Optimizer, float]]:
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or ".layers." not in name]
    return [
        (torch.optim.Muon(hidden, lr=recipe.muon_rate, momentum=0.95, weight_decay=0.01), recipe.muon_rate),
        (torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0), recipe.adam_rate),
    ]


def _set_rates(optimizers: list[tuple[torch.optim.Optimizer, float]], recipe: Pretraining, step: int) -> None:
    left = 1 - step / recipe.steps
    factor = min(1.0, (step + 1) / recipe.warmup_steps, max(left / recipe.decay_share, 0.01))
    for optimizer, rate in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * factor


def _batches(corpus: EncodedCorpus, recipe: Pretraining) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield shuffled batches endlessly, reshuffled every epoch."""
    rng = np.random.default_rng(recipe.seed)
    while True:
        order = rng.permutation(len(corpus.ids))
        whole = len(order) - len(order) % recipe.batch_size
        for rows in order[:whole].reshape(-1, recipe.batch_size):
            yield _tensors(corpus, rows)


def _tensors(corpus: EncodedCorpus, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    spans = corpus.spans[rows]
    ids = corpus.ids[rows, : spans[:, 1].max()]
    return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(spans.astype(np.int64))


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
