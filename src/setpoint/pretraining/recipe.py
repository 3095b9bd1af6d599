"""`setpoint base build`: corpus, tokenizer, pre-training, and a folder that transformers can load.

The recipe is deterministic on a given machine: the same seed gives the same corpus and training steps. The log is
stored as `recipe.json` beside the weights: drawn and rejected plants, smallest distance to a named plant, losses and
CPU time. A build may begin with the weights and the tokenizer of an earlier base, whose record is then part of its own,
and an interrupted or longer build continues from the checkpoint of the phase with constant rates.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from setpoint.artifacts import read_json, write_json
from setpoint.errors import InputError
from setpoint.pretraining.corpus import PLANT_NAME, CorpusLog, TextRow, generate_corpus
from setpoint.pretraining.families import EXCLUSION
from setpoint.pretraining.packing import Pack, pack_rows
from setpoint.pretraining.pretrain import Architecture, Pretraining, TokenKinds, build_model, pretrain
from setpoint.pretraining.tokenizer import build_tokenizer
from setpoint.provenance import package_versions

_TOKENIZER_ROWS = 2000
_HELD_OUT_PACKS = 100
_PHASES = ("pretraining", "settling")
STABLE = "stable.pt"
"""Checkpoint of the phase with constant rates."""


@dataclass(frozen=True)
class BaseRecipe:
    """All settings that determine the built-in base.

    Attributes:
        chunks: chunks of the corpus, with 250 plants each; one more is held out.
        pretraining: phase with constant rates, from whose checkpoint a longer build continues.
        settling: last phase. Likelihood alone does not determine how far invalid tokens rank below valid ones, so that
            fine-tuning occasionally makes an invalid token the most likely one; a margin between token kinds prevents
            this.
    """

    seed: int = 0
    chunks: int = 130
    architecture: Architecture = field(default_factory=Architecture)
    pretraining: Pretraining = field(default_factory=lambda: Pretraining(steps=6_000))
    settling: Pretraining = field(
        default_factory=lambda: Pretraining(steps=6_000, warmup_steps=1, decay_share=1.0, seed=1, margin=6.0)
    )


def build_base(
    output: Path,
    recipe: BaseRecipe,
    workers: int,
    report: Callable[[str], None],
    *,
    start: Path | None = None,
    checkpoints: Path | None = None,
) -> None:
    """Build the base in the new folder `output`; `report` receives progress lines.

    Args:
        start: folder of an earlier base whose weights and tokenizer training begins with.
        checkpoints: folder for the state of the training; a build that finds one there continues from it.

    Raises:
        InputError: `output` exists already, or `start` is not a base.
    """
    if output.exists():
        raise InputError(f"{str(output)!r} already exists. Pass a new folder to --output.")
    torch.set_num_threads(1)
    disable_progress_bar()
    started = _cpu_s()
    rows, held_out, corpus_log, corpus_cpu_s = _corpus(recipe, workers, report)
    model, tokenizer = _begin(recipe, rows, start)
    packs, unseen, kinds = _packs(tokenizer, rows), pack_rows(tokenizer, held_out), TokenKinds.of(tokenizer)
    report(f"{corpus_log.rows} rows in {len(packs)} packs, {model.num_parameters()} parameters")
    history: list[dict[str, Any]] = []
    for name, checkpoint in zip(_PHASES, _checkpoints(checkpoints), strict=True):
        phase: Pretraining = getattr(recipe, name)
        log = partial(_log_progress, history, name, report)
        pretrain(model, packs, unseen[:_HELD_OUT_PACKS], kinds, phase, log, checkpoint)
    model.half().float()  # round the weights to half precision, in which they are shipped
    record = {
        "recipe": asdict(recipe),
        "plant_name": PLANT_NAME,
        "exclusion": EXCLUSION,
        "corpus": asdict(corpus_log),
        "vocabulary": len(tokenizer),
        "parameters": model.num_parameters(),
        "cpu_s": {"corpus": round(corpus_cpu_s, 1), "total": round(_cpu_s() - started, 1)},
        "versions": package_versions(("torch", "transformers", "tokenizers", "numpy")),
        "log": history,
        **({} if start is None else {"start": read_json(start / "recipe.json")}),
    }
    _publish(output, model, tokenizer, record)


def _begin(recipe: BaseRecipe, rows: list[list[TextRow]], start: Path | None) -> tuple[Any, Any]:
    """Return the model and the tokenizer with which training begins."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if start is None:
        texts = [text for row in rows[0][:_TOKENIZER_ROWS] for text in (row.prompt, row.answer)]
        tokenizer = build_tokenizer(texts)
        return build_model(recipe.architecture, tokenizer, recipe.pretraining.seed), tokenizer
    if not (start / "recipe.json").is_file():
        raise InputError(
            f"{str(start)!r} is not the folder of a base that was built here. Pass one with a recipe.json."
        )
    tokenizer = AutoTokenizer.from_pretrained(str(start), local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(str(start), dtype=torch.float32, local_files_only=True)
    model.config.max_position_embeddings = recipe.architecture.max_position_embeddings
    return model, tokenizer


def _checkpoints(folder: Path | None) -> tuple[Path | None, Path | None]:
    """Return the checkpoints of both phases; the last phase has none and starts from the weights of the first."""
    if folder is None:
        return None, None
    folder.mkdir(parents=True, exist_ok=True)
    return folder / STABLE, None


def _log_progress(
    history: list[dict[str, Any]], phase: str, report: Callable[[str], None], entry: dict[str, Any]
) -> None:
    history.append({"phase": phase, **entry})
    report(f"{phase} step {entry['step']}  loss {entry['train_nll']}  CPU time {entry['cpu_s']} s")


def _corpus(
    recipe: BaseRecipe, workers: int, report: Callable[[str], None]
) -> tuple[list[list[TextRow]], list[TextRow], CorpusLog, float]:
    """Return training rows by chunk, held-out rows, the merged log and the CPU time of the workers (s)."""
    log, chunks = CorpusLog(), list[list[TextRow]]()
    before = _cpu_s()
    total = recipe.chunks + 1
    for index, (found, chunk_log) in enumerate(generate_corpus(recipe.seed, range(total), workers)):
        log.merge(chunk_log)
        chunks.append(found)
        if (index + 1) % max(1, total // 20) == 0:
            report(f"corpus: chunk {index + 1}/{total}, {log.rows} rows")
    return chunks[1:], chunks[0], log, _cpu_s() - before


def _cpu_s() -> float:
    """Return the CPU time of this process and its finished children (s)."""
    return sum(os.times()[:4])


def _packs(tokenizer: Any, chunks: list[list[TextRow]]) -> list[Pack]:
    return [pack for rows in chunks for pack in pack_rows(tokenizer, rows)]


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
