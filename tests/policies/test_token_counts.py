"""Lengths of prompts and answers, as plans print them, against the tokenizer that generates them."""

from dataclasses import replace
from pathlib import Path

import pytest

from setpoint import problems
from setpoint.language import longest_answer, messages
from setpoint.policies import BUILTIN, PRESETS, BaseModel, resolve_base
from setpoint.policies.controller import answer_limit
from setpoint.policies.language_model import LanguageModel
from setpoint.policies.token_counts import token_counts

DI = problems.get("double_integrator")
COMPACT = PRESETS["small"].prompt_format


@pytest.mark.parametrize("prompt_format", [PRESETS["tiny"].prompt_format, COMPACT], ids=["tiny", "small"])
def test_the_counts_are_about_those_of_the_model(prompt_format: object) -> None:
    base = resolve_base(BUILTIN)
    model = LanguageModel.load(base)
    found = token_counts(base, DI, prompt_format)  # type: ignore[arg-type]
    assert found is not None
    asked = len(model._chat.prompt(messages(DI, [-0.8, -0.8], prompt_format)))  # type: ignore[arg-type]
    assert abs(found.prompt - asked) <= 12
    whole = longest_answer(DI, prompt_format.blocking.moves, prompt_format)  # type: ignore[attr-defined, arg-type]
    assert found.answer == model.count_tokens(whole) + 1


def test_a_base_without_a_tokenizer_file_is_not_counted(tmp_path: Path) -> None:
    hub = BaseModel("owner/model", "owner/model", "h0", PRESETS["small"])
    assert token_counts(hub, DI, COMPACT) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert token_counts(replace(hub, location=str(tmp_path)), DI, COMPACT) is None


def test_the_limit_follows_from_the_format() -> None:
    def characters(text: str) -> int:
        return len(text)

    preset = PRESETS["small"]
    four = answer_limit(preset, DI, COMPACT, None, characters)
    one = answer_limit(preset, DI, COMPACT, 1, characters)
    explained = answer_limit(preset, DI, replace(COMPACT, reasoning="full"), None, characters)
    assert len("-3.00") < one < len("-3.00, -3.00, -3.00, -3.00") < four < explained
