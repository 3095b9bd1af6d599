"""Bases of other families go through SFT, GRPO, evaluation, plain PEFT and merging."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from setpoint import problems
from setpoint.artifacts import StageContext, Workspace
from setpoint.demonstrations import Recipe, create
from setpoint.errors import StageError
from setpoint.language import PromptFormat, messages
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.controller import LLMController
from setpoint.policies.language_model import LanguageModel
from setpoint.training import grpo, sft
from support.foreign_bases import FAMILIES, write_base

DI = problems.get("double_integrator")
SFT = {"learning_rate": 1e-2, "steps": 4, "batch_size": 4, "warmup_steps": 1, "validation_every": 0}
GRPO = {"learning_rate": 1e-3, "steps": 2, "batch_size": 4, "num_generations": 2, "warmup_steps": 1}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = Workspace(tmp_path_factory.mktemp("workspace"))
    create(root, None, Recipe(systems=(DI.name,), total_samples=24, split_ratio=0.6), workers=1)
    return root


def form_of(base: BaseModel, family: str) -> PromptFormat:
    role = "folded" if FAMILIES[family].folded else "system"
    return replace(base.preset.prompt_format, system_role=role)


def context(workspace: Workspace, root: Path, base: BaseModel, family: str, kind: str, **needs: Path) -> StageContext:
    folders = {name: root / kind / name for name in ("output", "checkpoints", "attempt")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    digest = json.loads((workspace.datasets / DI.name / "manifest.json").read_text())["digest"]
    config: dict[str, Any] = {
        "base": {"name": base.name, "digest": base.digest},
        "dialect": form_of(base, family).definition(),
        "systems": [DI.name],
        "datasets": [{"name": DI.name, "digest": digest}],
        "lora": {"rank": 4, "scale": 2.0, "dropout": 0.0},
        kind: SFT if kind == "sft" else GRPO,
    }
    return StageContext(workspace=workspace, kind=kind, stage_id=kind, config=config, seed=0, needs=needs, **folders)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_through_every_stage(family: str, workspace: Workspace, tmp_path: Path) -> None:
    base = resolve_base(str(write_base(family, tmp_path / "base")))
    trained = context(workspace, tmp_path, base, family, "sft")
    summary = sft.run(trained)
    assert summary["final_loss"] < summary["first_loss"]
    improved = context(workspace, tmp_path, base, family, "grpo", parent=trained.output)
    with pytest.raises(StageError, match="no learning signal"):  # random weights write nothing that can be read
        grpo.run(improved)
    adapter = trained.output / "adapter"
    model = LanguageModel.load(base, adapter)
    prompt_is_a_prefix(model, form_of(base, family))
    form = form_of(base, family)
    states = DI.initial_states(5, "foreign")
    free = LLMController(DI, model, base.preset, form).plan(0.0, states, 5)
    assert free.controls.shape == (5, 6, 1)
    bound = LLMController(DI, model, base.preset, form, constrained=True).plan(0.0, states, 5)
    assert all(outcome.parsed for outcome in bound.outcomes)
    batches_agree(model, form)
    plain_peft_agrees(base, adapter, model, form)


def prompt_is_a_prefix(model: LanguageModel, form: PromptFormat) -> None:
    """The tokens that a model is asked with begin those that it was trained on."""
    from setpoint.policies.language_model import TEMPLATE_OPTIONS

    chat = messages(DI, [0.1, -0.2], form)
    asked = model._encode(chat)
    whole = model._tokenizer.apply_chat_template(
        [*chat, {"role": "assistant", "content": "1.00"}], return_dict=True, **TEMPLATE_OPTIONS
    )["input_ids"]
    assert whole[: len(asked)] == asked


def batches_agree(model: LanguageModel, form: PromptFormat) -> None:
    """A batch with a shared prefix and padding gives the answers of single prompts."""
    chats = [messages(DI, x, form) for x in ([0.1, 0.2], [-0.1, 0.2], [-0.1, -0.2])]
    together = model.complete(chats, 12)
    apart = [LanguageModel(model._model, model._tokenizer, model._runtime).complete([chat], 12)[0] for chat in chats]
    assert [each.text for each in together] == [each.text for each in apart]


def plain_peft_agrees(base: BaseModel, adapter: Path, model: LanguageModel, form: PromptFormat) -> None:
    """Plain PEFT, and the merged weights, give the logits of this package."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    ids = torch.tensor([model._encode(messages(DI, [0.1, 0.2], form))])
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.location), str(adapter)).eval()
    with torch.inference_mode():
        ours, theirs = model._model(ids).logits, plain(ids).logits
        merged = plain.merge_and_unload()(ids).logits
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(merged, ours, atol=1e-4, rtol=1e-4)
