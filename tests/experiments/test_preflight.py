"""Is the machine fit: what is needed against what there is."""

from collections import namedtuple
from pathlib import Path

import pytest

from setpoint import provenance
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments import preflight as checks
from setpoint.experiments.preflight import Check, check_machine, require_fit
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.presets import TINY

DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture
def base(tmp_path: Path) -> BaseModel:
    """A base of one megabyte."""
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 10**6)
    return BaseModel("mine", str(tmp_path), "d", TINY)


def named(found: list[Check], name: str) -> Check:
    return next(check for check in found if check.name == name)


def test_needs_are_compared_with_what_there_is(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_free_memory_bytes", lambda: int(1e9))
    monkeypatch.setattr("shutil.disk_usage", lambda _path: DiskUsage(0, 0, int(0.1e9)))
    found = check_machine(Workspace(tmp_path / "not" / "there"), base)
    memory = "needs 1.5 GB, has 1.0 GB. Close other programs, or set --base-model to a smaller model."
    assert named(found, "memory") == Check("memory", "problem", memory)
    assert "needs 0.2 GB, has 0.1 GB. Free some space, or set --workspace or" in named(found, "disk").text
    with pytest.raises(InputError, match=r"needs 1\.5 GB, has 1\.0 GB"):
        require_fit(found)
    assert not (tmp_path / "not").exists()


def test_a_hub_model_that_cannot_be_had_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = named(check_machine(Workspace(tmp_path), resolve_base("no-such-owner/no-such-model")), "base model")
    assert found.result == "problem"
    assert "neither a folder nor in the local Hugging Face cache" in found.text


def test_without_a_base_nothing_is_demanded(tmp_path: Path) -> None:
    require_fit([check for check in check_machine(Workspace(tmp_path)) if check.name in {"memory", "disk"}])


def test_a_login_node_needs_no_memory_for_what_its_cluster_trains(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_free_memory_bytes", lambda: int(1e9))
    found = check_machine(Workspace(tmp_path), base, trains_here=False)
    assert named(found, "memory") == Check("memory", "ok", "1.0 GB available")
    assert "needs" in named(found, "disk").text


def test_another_environment_is_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "unsloth_env")
    assert named(check_machine(Workspace(tmp_path)), "interpreter").result == "ok"
    monkeypatch.setenv("CONDA_DEFAULT_ENV", "other")
    assert named(check_machine(Workspace(tmp_path)), "interpreter").result == "remark"


@pytest.mark.parametrize(("installed", "result"), [("1.0.9", "problem"), ("2.0", "ok"), ("2.1.0+cpu", "ok")])
def test_package_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str, result: str) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: ["numpy>=2.0", "pytest>=99; extra == 'dev'"])
    monkeypatch.setattr(provenance, "package_versions", lambda names: dict.fromkeys(names, installed))
    found = check_machine(Workspace(tmp_path))
    assert named(found, "numpy").result == result
    assert "pytest" not in [check.name for check in found]


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: ["trl>=1.16; extra == 'train'"])
    monkeypatch.setattr(provenance, "package_versions", dict.fromkeys)
    trl = named(check_machine(Workspace(tmp_path)), "trl")
    assert trl == Check("trl", "problem", "not installed; run pip install 'setpoint[train]'")


def test_gpus_are_listed(base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'Model X, 550.1, 80000'\necho 'Model Y, 550.1, 900'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    gpus = [check for check in check_machine(Workspace(tmp_path), base) if check.name == "GPU"]
    assert [check.result for check in gpus] == ["ok", "problem"]
    remedy = "Stop other processes on it, or set --base-model to a smaller model."
    assert gpus[1].text == f"Model Y, driver 550.1: needs 2.0 GB, has 0.9 GB. {remedy}"
