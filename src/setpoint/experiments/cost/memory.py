"""Check, before anything runs, which micro-batch fits into memory.

Rough estimate from the base model's configuration: weights, activations and logits kept for the backward pass, the
key-value cache of sampling, and the optimizer state of the adapter. The trainer has the final say: when memory runs
out it halves the micro-batch, which keeps the objective.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from setpoint import problems
from setpoint.artifacts import Fields, StageKind, read_json
from setpoint.errors import InputError
from setpoint.execution import gpus
from setpoint.experiments.preflight import Check, free_gpu_gb, free_memory_gb
from setpoint.language import PromptFormat
from setpoint.policies import BaseModel
from setpoint.policies.token_counts import token_counts
from setpoint.records.plan import PlannedStage
from setpoint.records.training_config import TrainingConfig

_GB = 1e9
_FILE_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
_ACTIVATIONS_PER_UNIT = 17
"""Values kept per layer, token and hidden unit (Korthikanti et al. 2022, without the attention matrix)."""
_LOGITS_TILE = (4096, 32_768)
"""Tokens and vocabulary entries; TRL's trainers process the logits of a batch in tiles and keep none of them."""
_SAMPLING_BYTES = 12
"""Bytes per vocabulary entry and sampled token: logits, their softmax and a copy, in float32."""
_ADAPTER_BYTES = 16
"""Bytes per adapter weight: the weight, its gradient and Adam's two moments, in float32."""
_FIXED_GB = {"cpu": 0.6, "gpu": 1.5}
_USUAL_TOKENS = 1500
"""Tokens of prompt and answer of a base whose tokenizer is not on this disk."""
_FIRST_MICRO_BATCH: Mapping[str, Mapping[str, int | None]] = {
    "cpu": {"tiny": None, "small": 8, "general": 4},
    "gpu": {"tiny": None, "small": None, "general": 8},
}
"""Initial upper limit of the micro-batch, as in `policies.runtime`; None: the whole batch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of a base model that determine its memory."""

    weights: int
    layers: int
    hidden: int
    vocabulary: int
    cached: int
    """Values per token in the key-value cache."""


def read_shape(base: BaseModel) -> Shape | None:
    """Read the shape of a base model from its folder; None if it is not on this disk or its configuration lacks it."""
    folder = Path(base.location)
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    try:
        config = Fields(read_json(folder / "config.json", links=True), folder / "config.json")
        hidden, layers = config.whole("hidden_size", least=1), config.whole("num_hidden_layers", least=1)
        heads = config.whole("num_attention_heads", least=1)
        kept_heads = config.optional_whole("num_key_value_heads") or heads
        width = config.optional_whole("head_dim") or hidden // heads
        stored = _FILE_BYTES[config.optional_text("dtype") or config.optional_text("torch_dtype") or "float32"]
        return Shape(
            weights=sum(file.stat().st_size for file in files) // stored,
            layers=layers,
            hidden=hidden,
            vocabulary=config.whole("vocab_size", least=1),
            cached=2 * layers * kept_heads * width,
        )
    except (InputError, KeyError):
        return None


def training_gb(shape: Shape, rows: int, tokens: int, rank: int, device: str) -> float:
    """Return the memory (GB) of a forward and backward pass over `rows` of `tokens` tokens each."""
    # On a GPU, gradient checkpointing keeps the activations of one layer and recomputes the others.
    size = 4 if device == "cpu" else 2
    whole_layers = shape.layers if device == "cpu" else 1
    kept = size * shape.hidden * (_ACTIVATIONS_PER_UNIT * whole_layers + shape.layers)
    tile = size * min(rows * tokens, _LOGITS_TILE[0]) * min(shape.vocabulary, _LOGITS_TILE[1])
    # Seven adapted matrices per layer, each with two factors of `rank` times at least `hidden` weights.
    adapter = _ADAPTER_BYTES * rank * shape.layers * 14 * shape.hidden
    return _FIXED_GB[device] + (size * shape.weights + adapter + tile + rows * tokens * kept) / _GB


def sampling_gb(shape: Shape, completions: int, tokens: int, device: str) -> float:
    """Return the memory (GB) of sampling `completions` in one batch."""
    size = 4 if device == "cpu" else 2
    kept = tokens * size * shape.cached + _SAMPLING_BYTES * shape.vocabulary
    return _FIXED_GB[device] + (size * shape.weights + completions * kept) / _GB


def check_batches(base: BaseModel, stages: Iterable[PlannedStage], free_gb: float, device: str) -> list[Check]:
    """Check, per kind of training stage, whether its micro-batch fits; empty for a base model of unknown shape."""
    shape = read_shape(base)
    if shape is None:
        return []
    found: dict[str, Check] = {}
    for stage in stages:
        if stage.kind.trains:
            check = _check(base, shape, stage, free_gb, device)
            worst = found.get(stage.kind)
            if worst is None or _SEVERITY[check.result] > _SEVERITY[worst.result]:
                found[stage.kind] = check
    return list(found.values())


def check_memory(base: BaseModel, stages: Iterable[PlannedStage]) -> list[Check]:
    """Check the batches against the free memory of the fullest GPU, or of the host if there is no GPU."""
    gpu_gb = free_gpu_gb() if gpus() else None
    if gpu_gb is not None:
        return check_batches(base, stages, gpu_gb, "gpu")
    return check_batches(base, stages, free_memory_gb(), "cpu")


def _tokens(base: BaseModel, stage: PlannedStage) -> int:
    """Return the tokens of the longest prompt with its answer."""
    config = TrainingConfig.of(stage)
    prompt_format = PromptFormat.from_definition(dict(config.prompt_format))
    counted = [token_counts(base, problems.get(system), prompt_format) for system in config.systems]
    return max((found.prompt + found.answer for found in counted if found), default=_USUAL_TOKENS)


_SEVERITY = {"ok": 0, "remark": 1, "problem": 2}


def _check(base: BaseModel, shape: Shape, stage: PlannedStage, free_gb: float, device: str) -> Check:
    parameters = stage.fields().inner(stage.kind)
    batch, rank = parameters.whole("batch_size", least=1), stage.fields().inner("lora").whole("rank", least=1)
    tokens = _tokens(base, stage)
    limit = min(batch, _FIRST_MICRO_BATCH[device][base.preset.name] or batch)
    generations = parameters.optional_whole("num_generations") or min(8, batch)
    group = generations if stage.kind is StageKind.GRPO else 0

    start = next(rows for rows in range(limit, 0, -1) if batch % rows == 0)

    def need_gb(rows: int) -> float:
        # With a smaller micro-batch the trainer also samples fewer completions at a time, down to one GRPO group.
        sampled = max(batch * rows // start, group)
        sampling = sampling_gb(shape, sampled, tokens, device) if group else 0.0
        return max(training_gb(shape, rows, tokens, rank, device), sampling)

    name = f"memory for {stage.kind}"
    needs = (
        f"batch_size {batch} in micro-batches of {start} requires about {need_gb(start):.1f} GB, "
        f"{free_gb:.1f} GB available"
    )
    if need_gb(start) <= free_gb:
        return Check(name, "ok", needs)
    fitting = [rows for rows in range(1, start) if batch % rows == 0 and need_gb(rows) <= free_gb]
    if not fitting:
        least = f"a micro-batch of 1 requires about {need_gb(1):.1f} GB, {free_gb:.1f} GB available"
        return Check(name, "problem", f"{least}. Use a smaller --base-model, or a machine with more memory.")
    best = max(fitting)
    parts = math.ceil(batch / best)
    return Check(
        name,
        "remark",
        f"{needs}. Training will use micro-batches of {best}, {parts} per step, with the same objective; batch_size "
        f"{best} would fit in one pass, but changes the objective.",
    )
