"""`setpoint base build`: corpus, tokenizer, pre-training, and a folder that transformers can load.

The recipe is deterministic on a given machine: the same seed gives the same corpus and training steps. The log is
stored as `recipe.json` beside the weights: drawn and rejected plants, smallest distance to a named plant, losses and
CPU time.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from setpoint.artifacts import write_json
from setpoint.errors import InputError
from setpoint.pretraining.corpus import PLANT_NAME, CorpusLog, TextRow, generate_corpus
from setpoint.pretraining.families import EXCLUSION
from setpoint.pretraining.pretrain import (
    SETTLING,
    Architecture,
    EncodedCorpus,
    Pretraining,
    TokenKinds,
    build_model,
    pretrain,
)
from setpoint.pretraining.tokenizer import END, build_tokenizer
from setpoint.provenance import package_versions

_HELD_OUT_CHUNKS = 1
_TOKENIZER_ROWS = 2000


@dataclass(frozen=True)
class BaseRecipe:
    """All settings that determine the built-in base."""

    seed: int = 0
    chunks: int = 250
    architecture: Architecture = field(default_factory=Architecture)
    pretraining: Pretraining = field(default_factory=Pretraining)
    settling: Pretraining = SETTLING
    settling_rows: int = 64_000
    """Number of leading rows of the corpus used in the last phase."""


def build_base(output: Path, recipe: BaseRecipe, workers: int, report: Callable[[str], None]) -> None:
    """Build the base in the new folder `output`; `report` receives progress lines.

    Raises:
        InputError: `output` exists already.
    """
    if output.exists():
        raise InputError(f"{str(output)!r} already exists. Pass a new folder to --output.")
    torch.set_num_threads(1)
    disable_progress_bar()
    started = process_time()
    rows, held_out, corpus_log, corpus_cpu_s = _corpus(recipe, workers, report)
    tokenizer = build_tokenizer(text for row in rows[:_TOKENIZER_ROWS] for text in (row.prompt, row.answer))
    model = build_model(recipe.architecture, tokenizer, recipe.pretraining.seed)
    encoded, unseen, kinds = _encode(tokenizer, rows), _encode(tokenizer, held_out), TokenKinds.of(tokenizer)
    report(f"{len(rows)} rows, {encoded.spans[:, 1].mean():.0f} tokens each, {model.num_parameters()} parameters")
    history: list[dict[str, Any]] = []
    phases = {
        "pretraining": (recipe.pretraining, encoded),
        "settling": (recipe.settling, encoded.head(recipe.settling_rows)),
    }
    for name, (phase, data) in phases.items():
        pretrain(model, data, unseen, kinds, phase, partial(_log_progress, history, name, report))
        model.half().float()  # round the weights to half precision, in which they are shipped, after every phase
    record = {
        "recipe": asdict(recipe),
        "plant_name": PLANT_NAME,
        "exclusion": EXCLUSION,
        "corpus": asdict(corpus_log),
        "vocabulary": len(tokenizer),
        "parameters": model.num_parameters(),
        "cpu_s": {"corpus": round(corpus_cpu_s, 1), "total": round(corpus_cpu_s + process_time() - started, 1)},
        "versions": package_versions(("torch", "transformers", "tokenizers", "casadi", "numpy")),
        "log": history,
    }
    _publish(output, model, tokenizer, record)


def _log_progress(
    history: list[dict[str, Any]], phase: str, report: Callable[[str], None], entry: dict[str, Any]
) -> None:
    history.append({"phase": phase, **entry})
    report(f"{phase} step {entry['step']}  loss {entry['train_nll']}  CPU time {entry['cpu_s']} s")


def _corpus(
    recipe: BaseRecipe, workers: int, report: Callable[[str], None]
) -> tuple[list[TextRow], list[TextRow], CorpusLog, float]:
    """Return training rows, held-out rows, the merged log and the CPU time of the workers (s)."""
    log, rows, held_out = CorpusLog(), list[TextRow](), list[TextRow]()
    before = sum(os.times()[2:4])  # user and system time of child processes
    total = recipe.chunks + _HELD_OUT_CHUNKS
    for index, (found, chunk_log) in enumerate(generate_corpus(recipe.seed, range(total), workers)):
        log.merge(chunk_log)
        (held_out if index >= recipe.chunks else rows).extend(found)
        if (index + 1) % max(1, total // 20) == 0:
            report(f"corpus: chunk {index + 1}/{total}, {log.rows} rows")
    return rows, held_out, log, sum(os.times()[2:4]) - before


def _encode(tokenizer: Any, rows: list[TextRow]) -> EncodedCorpus:
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": row.prompt}], add_generation_prompt=True, tokenize=False
        )
        for row in rows
    ]
    prompt_ids = tokenizer(prompts)["input_ids"]
    answer_ids = tokenizer([row.answer + END + "\n" for row in rows])["input_ids"]
    spans = np.array([[len(q), len(q) + len(a)] for q, a in zip(prompt_ids, answer_ids, strict=True)], dtype=np.int16)
    ids = np.zeros((len(rows), int(spans[:, 1].max())), dtype=np.int16)
    for i, (q, a) in enumerate(zip(prompt_ids, answer_ids, strict=True)):
        ids[i, : len(q) + len(a)] = q + a
    return EncodedCorpus(ids, spans)


def _publish(output: Path, model: Any, tokenizer: Any, record: dict[str, Any]) -> None:
    """Write to a temporary folder and rename it to `output`, so that `output` is never incomplete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".base-") as scratch:
        folder = Path(scratch) / "base"
        # float16 halves the size on disk; the configuration still declares float32 for inference.
        model.save_pretrained(folder, state_dict={name: weight.half() for name, weight in model.state_dict().items()})
        tokenizer.save_pretrained(folder)
        write_json(folder / "recipe.json", record)
        folder.rename(output)
