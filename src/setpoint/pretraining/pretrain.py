"""Pre-training of the built-in base on the corpus: all weights, loss on the answers only.

Muon on the hidden matrices and AdamW on the rest, constant rate, then linear decay: the decay matters most, an
undecayed checkpoint looks fine by its likelihood and steers badly.
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

    Input and output embeddings are separate: what is never an answer is then pushed down for good, whatever the prompts
    need its input embedding for.
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
    """Optimisation of the base."""

    steps: int = 16_000
    batch_size: int = 32
    muon_rate: float = 0.02
    adam_rate: float = 4e-3
    warmup_steps: int = 100
    decay_share: float = 0.6
    seed: int = 0
    margin: float = 0.0
    """Nats by which the right kind of token must lead, see `TokenKinds`."""


SETTLING = Pretraining(steps=2_500, muon_rate=0.006, adam_rate=1.2e-3, decay_share=1.0, seed=1, margin=6.0)
"""The last phase. Likelihood alone leaves open how far a token that cannot stand in a place lies below those that can;
fine-tuning then moves it to the top now and then. A margin between kinds of tokens keeps the two apart."""


@dataclass(frozen=True)
class TokenKinds:
    """Tokens that may stand in each other's place: pairs of digits, integer parts after the same separator.

    Attributes:
        of_token: kind of every token, (V,).
    """

    of_token: torch.Tensor

    @classmethod
    def of(cls, tokenizer: Any) -> "TokenKinds":
        """The kinds of a tokenizer's vocabulary; a token like no other is a kind of its own."""
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
    """Token ids, right-padded (n, T), and per row where the answer begins and where it ends (n, 2)."""

    ids: np.ndarray
    spans: np.ndarray

    def head(self, rows: int) -> "EncodedCorpus":
        """The first `rows` rows."""
        return EncodedCorpus(self.ids[:rows], self.spans[:rows])


def build_model(architecture: Architecture, tokenizer: Any, seed: int) -> Any:
    """A randomly initialised model with the tokenizer's vocabulary."""
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
    # Tokens that only prompts hold were never a target: nothing keeps their likelihood down once an adapter has changed
    # the hidden states.
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
    """Train `model` in place; `log` receives step, losses (nats per token) and CPU seconds a hundred times."""
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
    """Mean negative log-likelihood of the answer tokens (causal, so right padding needs no mask).

    With a margin, the logits of all tokens of another kind than the target are raised by it first (additive margin
    softmax), which leaves the likelihoods within a kind as they are.
    """
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
    """Mean loss over the held-out rows."""
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
    """Endless shuffled batches; every epoch has its own order."""
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
