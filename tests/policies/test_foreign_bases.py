"""What a base model brings is examined before any work, and training asks with the tokens of evaluation."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.policies import BUILTIN, builtin_path, resolve_base
from setpoint.policies.base_report import examine_base, require_served
from setpoint.policies.chat import ChatTokens, TemplateError
from setpoint.policies.examination import examine
from setpoint.policies.language_model import LanguageModel

CHAT = [{"role": "system", "content": "umax=1.0"}, {"role": "user", "content": "x=[0.5, 0.25]"}]
SYSTEM_REFUSED = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
TEMPLATE = (builtin_path() / "chat_template.jinja").read_text()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return shutil.copytree(builtin_path(), tmp_path / "base")


def edit(base: Path, name: str, **fields: object) -> None:
    path = base / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def template(base: Path, text: str) -> ChatTokens:
    from transformers import AutoTokenizer

    (base / "chat_template.jinja").write_text(text)
    return ChatTokens.of(AutoTokenizer.from_pretrained(base))


def test_the_built_in_base_is_asked_as_it_was_pretrained(base: Path) -> None:
    chat = template(base, TEMPLATE)
    prompt, answer = chat.prompt(CHAT), chat.answer(CHAT, "1.00")
    text = chat.tokenizer.decode(prompt + answer)
    assert text == (
        "<|im_start|>system\numax=1.0<|im_end|>\n<|im_start|>user\nx=[0.5, 0.25]<|im_end|>\n"
        "<|im_start|>assistant\n1.00<|im_end|>\n"
    )
    assert (chat.folds_system, chat.appends_end, chat.ends) == (False, False, {2})


@pytest.mark.parametrize(
    "text",
    [
        SYSTEM_REFUSED + TEMPLATE,
        TEMPLATE.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"),
    ],
)
def test_the_text_of_a_system_role_that_a_template_lacks_goes_into_the_users_turn(base: Path, text: str) -> None:
    chat = template(base, text)
    assert chat.folds_system
    assert "user\numax=1.0\n\nx=[0.5" in chat.tokenizer.decode(chat.prompt(CHAT))
    assert chat.folded(CHAT[1:]) == CHAT[1:]


@pytest.mark.parametrize(
    ("generation", "turn"),
    [("assistant: ", "{{ m['role'] }}: {{ m['content'] }}<|im_end|>"), ("a\n\n", "{{ m['content'] }}<|im_end|>")],
)
def test_answers_follow_the_tokens_of_the_prompt_whatever_the_template_does(
    base: Path, generation: str, turn: str
) -> None:
    chat = template(
        base, f"{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{generation}{{% endif %}}"
    )
    answer = chat.answer(CHAT, "<CONTROLS>1.00</CONTROLS>")
    assert chat.tokenizer.decode(answer) == "<CONTROLS>1.00</CONTROLS><|im_end|>"


def test_a_template_without_an_end_gets_one_in_training(base: Path) -> None:
    chat = template(base, TEMPLATE.replace("<|im_end|>", ""))
    assert chat.appends_end
    assert chat.answer(CHAT, "1.00")[-1] == chat.tokenizer.eos_token_id == 2


def test_the_end_mark_of_the_template_ends_answers_too(base: Path) -> None:
    edit(base, "tokenizer_config.json", eos_token="<|pad|>", pad_token=None)
    chat = template(base, TEMPLATE)
    assert chat.ends == {0, 2}
    assert (chat.tokenizer.eos_token, chat.answer(CHAT, "1.00")[-2]) == ("<|im_end|>", 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{% for m in messages %}", "cannot be rendered"),
        ("{{ messages[0].nothing.at_all }}", "cannot be rendered"),
        ("{% for i in range(10**9) %}x{% endfor %}", "cannot be rendered"),
        ("constant", "leaves out the content"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused(base: Path, text: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        template(base, text)


NESTED = "{% for i in range(90000) %}{% for j in range(90000) %}{% set k = i %}{% endfor %}{% endfor %}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "says"), [("{% if %}", "cannot be rendered"), (NESTED, "to render"), ("{{ 'x' * 20000000000 }}", "memory")]
)
def test_a_template_that_ends_no_chat_ends_planning_and_not_the_machine(
    base: Path, text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base / "chat_template.jinja").write_text(text)
    command = ["train", "--system", "di", "--base-model", str(base), "--workspace", str(tmp_path / "work")]
    assert main(command) == 3
    assert says in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
    assert main(["doctor", "--base-model", str(base)]) == 3
    assert says in capsys.readouterr().out


CHANGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "code of a model": (lambda b: edit(b, "config.json", auto_map={"AutoModel": "x.X"}), "auto_map"),
    "code of a tokenizer": (
        lambda b: edit(b, "tokenizer_config.json", auto_map={"AutoTokenizer": ["x.X", None]}),
        "auto_map",
    ),
    "quantised": (lambda b: edit(b, "config.json", quantization_config={"load_in_4bit": True}), "quantised"),
    "pickled": (lambda b: (b / "model.safetensors").rename(b / "pytorch_model.bin"), "Pickled weights"),
    "only arguments": (lambda b: (b / "model.safetensors").rename(b / "training_args.bin"), "Pickled weights"),
    "a missing shard": (
        lambda b: (b / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00002.safetensors"}}'),
        "model-00002",
    ),
    "a shard elsewhere": (
        lambda b: (b / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}'),
        "passwd",
    ),
    "a pipe": (lambda b: ((b / "model.safetensors").unlink(), os.mkfifo(b / "model.safetensors")), "model.safetensors"),
    "wrong architecture": (lambda b: edit(b, "config.json", architectures=1), "architectures"),
    "wrong vocabulary": (lambda b: edit(b, "config.json", vocab_size={}), "vocab_size"),
    "wrong length": (lambda b: edit(b, "tokenizer_config.json", model_max_length={}), "model_max_length"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_cannot_be_served_is_refused(base: Path, name: str) -> None:
    change, says = CHANGES[name]
    change(base)
    with pytest.raises(InputError, match=says):
        resolve_base(str(base))


def test_code_of_a_model_is_not_run(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (base / "x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    edit(base, "config.json", auto_map={"AutoConfig": "x.X", "AutoModelForCausalLM": "x.X"}, model_type="unheard_of")
    assert main(["evaluate", "--base-model", str(base), "--system", "di"]) == 3
    captured = capsys.readouterr()
    assert captured.out == "" and "auto_map" in captured.err
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "fields", "says"),
    [
        (
            "config.json",
            {"max_position_embeddings": 128},
            "its context of 128 tokens is too short for double_int",
        ),
        ("config.json", {"vocab_size": 3}, "but the model only 3 tokens"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_numbers(
    base: Path, file: str, fields: dict[str, Any], says: str
) -> None:
    edit(base, file, **fields)
    with pytest.raises(InputError, match=says):
        require_served(resolve_base(str(base)))


def test_without_an_end_token_nothing_can_stop(base: Path) -> None:
    edit(base, "tokenizer_config.json", eos_token=None, pad_token=None)
    edit(base, "config.json", eos_token_id=None)
    (base / "generation_config.json").unlink()
    (base / "chat_template.jinja").write_text(TEMPLATE.replace("<|im_end|>", ""))
    assert "no token ends an answer" in examine(str(base), [])["problem"]


def test_a_base_that_is_served_is_described(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(base, "generation_config.json", repetition_penalty=1.05, max_time=1.0)
    edit(base, "config.json", max_position_embeddings=4096)
    (base / "chat_template.jinja").write_text(SYSTEM_REFUSED + TEMPLATE)
    report = examine_base(resolve_base(str(base)))
    facts = "; ".join(report.facts)
    assert report.problem == "" and "context 4096" in facts and "no system role" in facts
    assert "max_time" in facts and "repetition_penalty" in facts
    assert examine_base(resolve_base(BUILTIN)).problem == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"repetition_penalty": 5.0},
        {"max_time": 0.0001, "min_new_tokens": 9},
        {"forced_eos_token_id": 9, "num_beams": 3},
    ],
)
def test_generation_settings_of_a_base_do_not_change_greedy_text(base: Path, fields: dict[str, Any]) -> None:
    chats = [[{"role": "user", "content": "plant=x a=0.00 b=0.00 c=0.00 d=0.00 e=1.00 dt=0.10 N=50 x=[0.5, 0.1]"}]]
    (base / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 0}')
    plain = LanguageModel.load(resolve_base(str(base))).complete(chats, 24)
    edit(base, "generation_config.json", **fields)
    assert LanguageModel.load(resolve_base(str(base))).complete(chats, 24) == plain


def test_a_base_in_a_folder_is_recorded_by_its_absolute_place(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base.parent)
    assert resolve_base("base").name == resolve_base("./base").name == str(base)
    assert resolve_base(str(base)).digest == resolve_base("base").digest


@pytest.mark.parametrize("name", ["x" * 300, "~nobody1/x", "a\0b", ""])
def test_a_name_that_is_no_place_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="--base-model"):
        resolve_base(name)


def test_links_of_a_hub_cache_are_read(base: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for file in base.iterdir():
        (snapshot / file.name).symlink_to(file)
    assert resolve_base(str(snapshot)).digest == resolve_base(str(base)).digest
