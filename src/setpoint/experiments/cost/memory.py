"""How many rows of a batch fit into memory at a time, told before anything runs.

A rough reckoning from the base's configuration: its weights, what is kept of each layer and of the logits for the
backward pass, the keys and values of what is sampled, and the optimizer's state of the adapter. The exact answer is the
trainer's, which halves the rows at a time when memory runs out and keeps the objective.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.artifacts import StageKind, read_json
from setpoint.execution import gpus
from setpoint.experiments.preflight import Check, free_gpu_gb, free_memory_gb
from setpoint.policies import BaseModel
from setpoint.records.plan import PlannedStage

_GB = 1e9
_FILE_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4}
_KEPT_PER_UNIT = 17
"""Numbers kept of a layer for each token and hidden unit (Korthikanti et al. 2022, without the attention matrix)."""
_LOGITS_AT_A_TIME = (4096, 32_768)
"""Tokens and words; TRL's trainers go over the logits of a batch in such tiles and keep none of them."""
_KEPT_OF_LAST = 12
"""Bytes for each word where a token is sampled: logits, their softmax and a copy in single precision."""
_ADAPTER_BYTES = 16
"""For each weight of an adapter: itself, its gradient and two moments, in single precision."""
_FIXED_GB = {"cpu": 0.6, "gpu": 1.5}
_PROMPT_TOKENS = {"tiny": 160, "general": 500}
_ROWS_AT_FIRST: Mapping[str, Mapping[str, int | None]] = {
    "cpu": {"tiny": None, "general": 4},
    "gpu": {"tiny": None, "general": 8},
}
"""Rows of one pass at most before memory was tried, as `policies.runtime` has them; None stands for the whole batch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a base decides its memory."""

    weights: int
    layers: int
    hidden: int
    vocabulary: int
    cached: int
    """Numbers kept of a token to go on from it."""


def read_shape(base: BaseModel) -> Shape | None:
    """The shape of a base in a folder; None where it is not on this disk or does not say."""
    folder = Path(base.location)
    config: Any = read_json(folder / "config.json")
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    try:
        heads = config.get("num_key_value_heads") or config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        stored = _FILE_BYTES[str(config.get("dtype") or config.get("torch_dtype") or "float32")]
        return Shape(
            weights=sum(file.stat().st_size for file in files) // stored,
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            vocabulary=config["vocab_size"],
            cached=2 * config["num_hidden_layers"] * heads * width,
        )
    except (KeyError, TypeError, AttributeError):
        return None


def training_gb(shape: Shape, rows: int, tokens: int, rank: int, device: str) -> float:
    """Memory of a pass forward and back over `rows` of so many tokens; a GPU keeps one layer and recomputes others."""
    size = 4 if device == "cpu" else 2
    whole_layers = shape.layers if device == "cpu" else 1
    kept = size * shape.hidden * (_KEPT_PER_UNIT * whole_layers + shape.layers)
    tile = size * min(rows * tokens, _LOGITS_AT_A_TIME[0]) * min(shape.vocabulary, _LOGITS_AT_A_TIME[1])
    adapter = _ADAPTER_BYTES * rank * shape.layers * 14 * shape.hidden  # seven matrices, a side of each at least hidden
    return _FIXED_GB[device] + (size * shape.weights + adapter + tile + rows * tokens * kept) / _GB


def sampling_gb(shape: Shape, completions: int, tokens: int, device: str) -> float:
    """Memory of sampling so many completions together."""
    size = 4 if device == "cpu" else 2
    kept = tokens * size * shape.cached + _KEPT_OF_LAST * shape.vocabulary
    return _FIXED_GB[device] + (size * shape.weights + completions * kept) / _GB


def check_batches(base: BaseModel, stages: Iterable[PlannedStage], free_gb: float, device: str) -> list[Check]:
    """For each kind of training stage whether its rows fit, and what does; nothing about a base of unknown shape."""
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
    """The same against what is free here: of the fullest GPU, or of the host where there is none."""
    gpu_gb = free_gpu_gb() if gpus() else None
    if gpu_gb is not None:
        return check_batches(base, stages, gpu_gb, "gpu")
    return check_batches(base, stages, free_memory_gb(), "cpu")


_SEVERITY = {"ok": 0, "remark": 1, "problem": 2}


def _check(base: BaseModel, shape: Shape, stage: PlannedStage, free_gb: float, device: str) -> Check:
    parameters: Mapping[str, Any] = stage.config[stage.kind]
    batch, rank = parameters["batch_size"], stage.config["lora"]["rank"]
    tokens = _PROMPT_TOKENS[base.preset.name] + base.preset.max_answer_tokens
    at_first = min(batch, _ROWS_AT_FIRST[device][base.preset.name] or batch)
    group = (parameters.get("num_generations") or min(8, batch)) if stage.kind is StageKind.GRPO else 0

    start = next(rows for rows in range(at_first, 0, -1) if batch % rows == 0)

    def need_gb(rows: int) -> float:
        """With fewer rows the trainer samples fewer completions at a time as well, down to one group."""
        sampled = max(batch * rows // start, group)
        sampling = sampling_gb(shape, sampled, tokens, device) if group else 0.0
        return max(training_gb(shape, rows, tokens, rank, device), sampling)

    name = f"memory for {stage.kind}"
    needs = f"batch_size {batch}: {start} rows at a time need about {need_gb(start):.1f} GB, has {free_gb:.1f} GB"
    if need_gb(start) <= free_gb:
        return Check(name, "ok", needs)
    fitting = [rows for rows in range(1, start) if batch % rows == 0 and need_gb(rows) <= free_gb]
    if not fitting:
        least = f"needs about {need_gb(1):.1f} GB for one row at a time, has {free_gb:.1f} GB"
        return Check(name, "problem", f"{least}. Use a smaller --base-model, or a machine with more memory.")
    best = max(fitting)
    parts = math.ceil(batch / best)
    return Check(
        name,
        "remark",
        f"{needs}; {best} fit. Training comes down to {best} at a time, {parts} times a step, with the same objective; "
        f"batch_size {best} would do in one pass, with another.",
    )
