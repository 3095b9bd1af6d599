"""A language model as a controller, and the checks before one is loaded. No model is needed here."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from setpoint import problems
from setpoint.artifacts import Manifest, Measured, PublishedFile, read_json, write_json
from setpoint.errors import InputError
from setpoint.fingerprint import file_digest
from setpoint.language import Grammar, Message, PromptFormat
from setpoint.policies import BUILTIN, PRESETS, BaseModel, builtin_path, resolve_base
from setpoint.policies.adapters import ADAPTER_RECORD, check_adapter, read_record
from setpoint.policies.controller import LLMController, moves_to_generate
from setpoint.policies.language_model import Completion, ignore, shared_prefix
from setpoint.simulation import run_controller
from setpoint.trajectory import Termination

TINY, GENERAL = PRESETS["tiny"], PRESETS["general"]
PROBLEM = problems.get("double_integrator")
MOVES = "1.00, -0.50, 0.25, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00"
WHOLE = f"<REASONING>feedback 1.00</REASONING><CONTROLS>{MOVES}</CONTROLS>"


class Scripted:
    """Gives the same completion to every chat, and remembers what it was asked."""

    def __init__(self, text: str, *, ended: bool = True) -> None:
        self.completion = Completion(text, tokens=7, ended=ended)
        self.chats: list[list[Message]] = []
        self.limits: list[int] = []
        self.done: Callable[[str], bool] | None = None

    def complete(
        self,
        chats: list[list[Message]],
        max_new_tokens: int,
        temperature: float = 0.0,
        done: Callable[[str], bool] | None = None,
        progress: Callable[[int], None] = ignore,
        grammar: Grammar | None = None,
    ) -> list[Completion]:
        progress(len(chats))
        self.chats = chats
        self.limits.append(max_new_tokens)
        self.done = done
        return [self.completion] * len(chats)

    def count_tokens(self, text: str) -> int:
        return len(text)


def states(count: int) -> np.ndarray:
    return PROBLEM.initial_states(count, "test_policies")


def test_a_whole_plan_is_expanded_to_the_grid_of_the_plant() -> None:
    model = Scripted(WHOLE)
    plan = LLMController(PROBLEM, model, TINY).plan(0.0, states(3), 50)
    assert plan.controls.shape == (3, 50, 1)
    np.testing.assert_array_equal(plan.controls[0, :6, 0], [1.0, -0.5, 0.25, 0.25, 0.0, 0.0])
    assert plan.outcomes == (Termination.COMPLETED,) * 3
    assert plan.tokens.tolist() == [7, 7, 7]
    assert model.limits == [TINY.max_answer_tokens]


def test_generation_stops_after_the_moves_that_are_needed() -> None:
    model = Scripted("<REASONING>feedback 1.00</REASONING><CONTROLS>1.00, -0.50, 0.25", ended=False)
    plan = LLMController(PROBLEM, model, TINY).plan(0.0, states(2), 4)
    assert model.limits == [TINY.answer_tokens(PROBLEM.plant, TINY.prompt_format, 3)]
    assert model.done is None
    np.testing.assert_array_equal(plan.controls[0, :, 0], [1.0, -0.5, 0.25, 0.25])
    assert plan.outcomes == (Termination.COMPLETED,) * 2


@pytest.mark.parametrize(
    ("steps", "moves"), [(1, 1), (2, 2), (4, 3), (5, 4), (37, 9), (38, None), (50, None), (80, None)]
)
def test_moves_to_generate(steps: int, moves: int | None) -> None:
    assert moves_to_generate(TINY, TINY.prompt_format, steps) == moves


def test_without_a_known_layout_no_number_of_tokens_ends_the_moves() -> None:
    assert moves_to_generate(GENERAL, GENERAL.prompt_format, 1) is None
    assert moves_to_generate(replace(TINY, header_tokens=None), TINY.prompt_format, 1) is None
    assert moves_to_generate(TINY, GENERAL.prompt_format, 1) is None


BARE = replace(GENERAL.prompt_format, control_decimals=2)


def test_an_answer_of_another_base_ends_after_the_move_that_is_needed() -> None:
    model = Scripted("1.00, -0.50,", ended=False)
    plan = LLMController(PROBLEM, model, GENERAL, BARE).plan(0.0, states(2), 2)
    np.testing.assert_array_equal(plan.controls[0, :, 0], [1.0, -0.5])
    assert model.done is not None
    assert [model.done(text) for text in ("1.00, -0.50", "1.00, -0.50,")] == [False, True]
    assert model.limits == [math.ceil(len("-1.00, -1.00") * 1.1) + 2]


def test_an_answer_without_reasoning_is_the_moves_alone() -> None:
    model = Scripted("1.00, -0.50, 0.25, 0.00")
    plan = LLMController(PROBLEM, model, GENERAL, BARE).plan(0.0, states(2), 5)
    np.testing.assert_array_equal(plan.controls[0, :, 0], [1.0, -0.5, 0.25, 0.25, 0.0, 0.0])
    assert model.done is None
    wrong = Scripted("The moves are 1.00, -0.50, 0.25, 0.00")
    assert LLMController(PROBLEM, wrong, GENERAL, BARE).plan(0.0, states(1), 5).outcomes == (Termination.PARSE_FAILURE,)


def test_a_plan_beyond_the_moves_of_an_answer_is_refused() -> None:
    controller = LLMController(PROBLEM, Scripted("1.00, -0.50, 0.25, 0.00"), GENERAL, BARE)
    assert controller.covered_steps == 6
    with pytest.raises(InputError, match="answers of 4 moves cover 6 steps of double_integrator, but 50 are needed"):
        controller.plan(0.0, states(1), 50)


@pytest.mark.parametrize(
    ("text", "ended", "steps", "outcome"),
    [
        ("no controls at all", True, 50, Termination.PARSE_FAILURE),
        ("<CONTROLS>1.00, 2.00</CONTROLS>", True, 50, Termination.WRONG_LENGTH),
        ("<CONTROLS>1.00, 2.00, 0.", False, 50, Termination.TOKEN_LIMIT),
        (WHOLE, False, 50, Termination.COMPLETED),
        ("<CONTROLS>1.00, 2.00, 0.", False, 4, Termination.WRONG_LENGTH),
    ],
)
def test_what_cannot_be_read_is_zero_control_with_its_reason(
    text: str, ended: bool, steps: int, outcome: Termination
) -> None:
    plan = LLMController(PROBLEM, Scripted(text, ended=ended), TINY).plan(0.0, states(2), steps)
    assert plan.outcomes == (outcome,) * 2
    assert plan.controls.any() == outcome.parsed
    assert plan.controls.shape[1] >= steps


def test_the_prompt_shows_the_state_of_each_episode_and_the_whole_horizon_at_any_time() -> None:
    model = Scripted(WHOLE)
    x = states(2)
    LLMController(PROBLEM, model, TINY).plan(3.0, x, 5)
    for chat, state in zip(model.chats, x, strict=True):
        assert f"x=[{state[0]:.4f}, {state[1]:.4f}]" in chat[-1]["content"]
        assert "N=50" in chat[-1]["content"]


def test_progress_names_the_step_and_the_cases() -> None:
    lines: list[str] = []
    controller = LLMController(PROBLEM, Scripted(WHOLE), TINY, progress=lines.append)
    run_controller(PROBLEM, controller, states(3), replan_interval=25)
    assert lines == [f"double_integrator, plans of step {step} of 50: 3 of 3 cases" for step in (0, 25)]


def test_a_language_model_runs_in_the_loop_like_any_controller() -> None:
    rollout = run_controller(PROBLEM, LLMController(PROBLEM, Scripted(WHOLE), TINY), states(4), replan_interval=5)
    assert rollout.plans == 10
    assert rollout.plans_parsed.tolist() == [10] * 4
    assert rollout.tokens.tolist() == [70] * 4


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [
        ([[1, 2, 3, 4], [1, 2, 5, 4]], 2),
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [3, 4]], 0),
        ([[1, 2], [1, 2, 3]], 1),
        ([[1, 2, 3, 4], [1, 2, 5]], 2),
        ([[1, 2, 3]], 0),
    ],
)
def test_shared_prefix(prompts: list[list[int]], shared: int) -> None:
    assert shared_prefix(prompts) == shared


@pytest.mark.parametrize("name", ["builtin:large", "./nowhere", "a/b/c", "nameonly"])
def test_a_base_model_that_cannot_be_meant_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--base-model"):
        resolve_base(name)


def test_a_folder_that_is_no_model_says_what_it_lacks(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    with pytest.raises(InputError, match=r"tokenizer_config\.json, weights"):
        resolve_base(str(tmp_path))


def base(digest: str = "0123456789ab") -> BaseModel:
    return BaseModel("builtin:tiny", "nowhere", digest, TINY)


ADAPTER_CONFIG = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}


def adapter_folder(path: Path, record: object) -> Path:
    write_json(path / "adapter_config.json", ADAPTER_CONFIG)
    save_file({"weights": np.zeros(4)}, path / "adapter_model.safetensors")
    write_json(path / ADAPTER_RECORD, record)
    return path


def test_an_adapter_of_this_base_is_accepted(tmp_path: Path) -> None:
    check_adapter(adapter_folder(tmp_path, {"base": {"name": "builtin:tiny", "digest": "0123456789ab"}}), base())


RECORD = {"base": {"name": "builtin:tiny", "digest": "0123456789ab"}}


@pytest.mark.parametrize(
    ("name", "content"),
    [("adapter_model.safetensors", b""), ("adapter_model.safetensors", b"x" * 90), ("adapter_config.json", b"{")],
)
def test_an_adapter_that_cannot_be_read_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (adapter_folder(tmp_path, RECORD) / name).write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        check_adapter(tmp_path, base())


def test_an_adapter_that_is_not_what_its_stage_published_is_refused(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "adapter", RECORD)
    files = {f"adapter/{path.name}": PublishedFile(file_digest(path), path.stat().st_size) for path in folder.iterdir()}
    manifest = Manifest(1, "a1b2", "sft", 1, "2026-01-01T00:00:00+00:00", files, {}, Measured(), {})
    write_json(tmp_path / "manifest.json", manifest.to_json())
    check_adapter(folder, base())
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"damaged: adapter_model\.safetensors is not what was published"):
        check_adapter(folder, base())


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path, {"base": {"name": "other/model", "digest": "ffffffffffff"}})
    with pytest.raises(InputError, match=r"'other/model' \(ffffffffffff\), not to 'builtin:tiny' \(0123456789ab\)"):
        check_adapter(folder, base())


@pytest.mark.parametrize("record", [{}, {"base": "builtin:tiny"}, []])
def test_an_adapter_without_a_known_base_is_refused(tmp_path: Path, record: object) -> None:
    with pytest.raises(InputError, match="belongs to no known base"):
        check_adapter(adapter_folder(tmp_path, record), base())


def test_a_missing_adapter_is_an_error_and_never_the_bare_base(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks adapter_config\.json, adapter_model\.safetensors, setpoint\.json"):
        check_adapter(tmp_path / "nowhere", base())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json", "tokenizer.json"])
def test_a_base_that_was_cut_off_is_refused(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(builtin_path(), tmp_path / "base")
    assert resolve_base(str(copy)).digest == resolve_base(BUILTIN).digest
    (copy / name).write_bytes((copy / name).read_bytes()[:-30])
    with pytest.raises(InputError, match=f"{name}' is truncated or damaged"):
        resolve_base(str(copy))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"r": -1}, "r must be"),
        ({"r": "8"}, "r must be"),
        ({"target_modules": "x"}, "target_modules must be"),
        ({"peft_type": None}, "peft_type must be"),
        ({"lora_alpha": [16]}, "lora_alpha must be"),
    ],
)
def test_an_adapter_whose_shape_is_damaged_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    folder = adapter_folder(tmp_path, RECORD)
    write_json(folder / "adapter_config.json", {**ADAPTER_CONFIG, **change})
    with pytest.raises(InputError, match=says):
        check_adapter(folder, base())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dialect": True}, "dialect must be an object"),
        ({"dialect": {**PromptFormat().definition(), "blocks": [1, 0]}}, r"dialect\.blocks must be"),
        ({"dialect": {**PromptFormat().definition(), "template": "latin"}}, r"dialect\.template must be one of"),
        ({"base": {}}, r"base\.name is missing"),
        ({"systems": ["../outside"]}, "systems must be"),
        ({"systems": "pendulum"}, "systems must be"),
    ],
)
def test_a_damaged_record_of_an_adapter_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    record = {**RECORD, "systems": ["pendulum"], "dialect": PromptFormat().definition()}
    folder = adapter_folder(tmp_path, record)
    assert read_record(folder).prompt_format == PromptFormat()
    write_json(folder / ADAPTER_RECORD, {**record, **change})
    with pytest.raises(InputError, match=says):
        read_record(folder)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("config.json", {"architectures": 1}, "architectures must be a list of texts"),
        ("config.json", {"vocab_size": {}}, "vocab_size must be an integer"),
        ("config.json", {"hidden_size": -1}, "hidden_size must be an integer"),
        ("tokenizer_config.json", {"model_max_length": {}}, "model_max_length must be a finite number"),
    ],
)
def test_a_base_whose_configuration_is_damaged_is_refused(
    tmp_path: Path, name: str, change: dict[str, object], says: str
) -> None:
    copy = shutil.copytree(builtin_path(), tmp_path / "base")
    write_json(copy / name, {**read_json(copy / name), **change})
    with pytest.raises(InputError, match=says):
        resolve_base(str(copy))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "bert"}, "is not a causal language model, but model_type 'bert'"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "but LlamaForSequenceClass"),
        ({"model_type": "t5", "architectures": ["T5EncoderModel"]}, "but T5EncoderModel"),
        ({}, "has no model_type"),
        ([], "has no model_type"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, None),
        ({"model_type": "llama"}, None),
    ],
)
def test_a_base_that_does_not_generate_is_refused_before_it_is_loaded(
    config: object, says: str | None, tmp_path: Path
) -> None:
    copy = shutil.copytree(builtin_path(), tmp_path / "base")
    write_json(copy / "config.json", config)
    if says is None:
        assert resolve_base(str(copy)).preset.name == "small"
        return
    with pytest.raises(InputError, match=says):
        resolve_base(str(copy))


def test_a_base_without_a_chat_template_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    copy = shutil.copytree(builtin_path(), tmp_path / "base")
    (copy / "chat_template.jinja").unlink()
    write_json(copy / "tokenizer_config.json", {})
    with pytest.raises(InputError, match=r"no chat template.*add chat_template\.jinja"):
        resolve_base(str(copy))
    write_json(copy / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    assert resolve_base(str(copy)).name == str(copy)
