"""Create, continue and publish LoRA adapters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from setpoint.artifacts import write_json, write_text
from setpoint.errors import InputError, SetpointError
from setpoint.policies.adapters import ADAPTER_RECORD, check_adapter, read_adapter_config
from setpoint.policies.bases import BaseModel
from setpoint.policies.language_model import add_adapter
from setpoint.training.config import LoraParameters

ADAPTER_FOLDER = "adapter"
ADAPTER_NAME = "default"
"""PEFT's default adapter name."""
Tensors = dict[str, torch.Tensor]


def fresh_adapter(model: Any, lora: LoraParameters, seed: int) -> Any:
    """Return `model` with a new adapter on all linear layers, initialised from `seed`."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    # The update is (alpha / r) B A (Hu et al. 2021); alpha = scale * r keeps its factor constant across ranks.
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.scale * lora.rank,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def continued_adapter(model: Any, folder: Path, base: BaseModel, lora: LoraParameters) -> Any:
    """Return `model` with the adapter in `folder`, ready for further training.

    Raises:
        InputError: there is no adapter for this base, or its rank or scale differs from `lora`.
    """
    check_adapter(folder, base)
    config = read_adapter_config(folder)
    if (config.rank, config.scale) != (lora.rank, lora.scale):
        raise InputError(
            f"the adapter has rank {config.rank} and scale {config.scale:g}, but rank {lora.rank} and scale "
            f"{lora.scale:g} were requested. Use the adapter's values, or train a new adapter."
        )
    return add_adapter(model, folder, trainable=True)


def trainable_tensors(model: Any) -> Tensors:
    """Return copies of the adapter's tensors, by name."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def save_adapter(model: Any, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the adapter of `model` in PEFT layout, with a model card and `record`.

    Equal tensors give equal bytes: PEFT writes some lists in set order, so they are sorted here.
    """
    base = record["base"]
    model.peft_config[ADAPTER_NAME].base_model_name_or_path = base["name"]
    model.save_pretrained(str(folder), selected_adapters=[ADAPTER_NAME], save_embedding_layers=False)
    config = folder / "adapter_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["target_modules"] = sorted(settings["target_modules"])
    write_json(config, dict(sorted(settings.items())))
    write_json(folder / ADAPTER_RECORD, {"schema": 1, **record})
    write_text(folder / "README.md", _model_card(record))
    _check_saved(folder, trainable_tensors(model))


def _check_saved(folder: Path, tensors: Tensors) -> None:
    """Check that the written adapter can be read and equals the trained one."""
    saved = load_file(folder / "adapter_model.safetensors")
    expected = {name.replace(f".{ADAPTER_NAME}.", "."): tensor for name, tensor in tensors.items()}
    if saved.keys() != expected.keys() or any(not torch.equal(saved[n], expected[n].cpu()) for n in expected):
        raise SetpointError(
            f"the adapter in {str(folder)!r} differs from the trained one. Check the disk and train again."
        )


def _model_card(record: Mapping[str, Any]) -> str:
    base = record["base"]
    systems = ", ".join(record["systems"])
    return "\n".join(
        (
            "---",
            "library_name: peft",
            f"base_model: {json.dumps(base['name'])}",
            "tags: [lora, control]",
            "---",
            "",
            f"# LoRA adapter that controls {systems}",
            "",
            f"Trained by {record['kind'].upper()} on base `{base['name']}` (digest `{base['digest']}`). It "
            "works with this base only.",
            f"Prompt format, data and all training parameters are in `{ADAPTER_RECORD}`:",
            "",
            "```json",
            json.dumps(dict(record), indent=2, ensure_ascii=False),
            "```",
            "",
        )
    )
