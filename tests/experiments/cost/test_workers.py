"""Number of concurrent stages: never more than memory allows, and a number that is too large is refused."""

from pathlib import Path

import pytest

from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.cost import workers
from setpoint.experiments.cost.estimate import Estimate
from setpoint.experiments.cost.workers import check_workers, fitting_workers
from setpoint.experiments.preflight import require_fit
from support.sweeps import BASE, make_plan

PLAN = make_plan(systems="di", parameters={"lora_rank": [4, 8, 16, 32]})


def machine(
    monkeypatch: pytest.MonkeyPatch,
    *,
    memory_gb: float = 0.0,
    gpu_gb: float = 0.0,
    unknown: tuple[str, ...] = (),
    gpus: tuple[str, ...] = (),
) -> None:
    """A machine of eight places with 4 GB of memory, where stages have taken so much."""
    seen = Estimate({}, unknown, 1.0, (1.0, 1.0), 1.0, 1, memory_gb, 0.0, gpu_gb)
    monkeypatch.setattr(workers, "estimate", lambda *_: seen)
    monkeypatch.setattr(workers, "free_memory_gb", lambda: 4.0)
    monkeypatch.setattr(workers, "free_gpu_gb", lambda: 10.0 if gpus else None)
    monkeypatch.setattr(workers, "default_workers", lambda: len(gpus) or 8)
    monkeypatch.setattr(workers, "gpus", lambda: gpus)


def fitting() -> int:
    return fitting_workers(Workspace(Path("nowhere")), PLAN, BASE)


def check(number: int) -> tuple[str, str]:
    found = check_workers(Workspace(Path("nowhere")), PLAN, BASE, number)
    return found.result, found.text


def test_as_many_as_memory_lasts_for(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, memory_gb=0.9)
    assert fitting() == 4
    assert check(4) == ("ok", "4 concurrent stages")
    text = "5 concurrent stages need 4.5 GB of host memory, but 4.0 GB is available. Use --workers 4, or omit it."
    assert check(5) == ("problem", text)
    with pytest.raises(InputError, match=r"need 4\.5 GB of host memory"):
        require_fit([check_workers(Workspace(Path("nowhere")), PLAN, BASE, 5)])


def test_one_may_always_run_and_no_more_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, memory_gb=9.0)
    assert fitting() == 1
    assert check(1)[0] == "ok"
    machine(monkeypatch, memory_gb=4.0 / len(PLAN.stages))
    assert check(10_000)[0] == "ok"


def test_before_anything_ran_the_size_of_the_base_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, unknown=("sft", "grpo", "evaluate", "reference"))
    assert fitting() == 2
    assert check(4)[0] == "remark"  # a rough reckoning refuses nothing


def test_each_gpu_has_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, memory_gb=0.1, gpu_gb=4.0, gpus=("0", "1"))
    assert fitting() == 2
    assert check(4)[0] == "ok"
    assert check(5)[0] == "problem"
    assert "3 concurrent stages need 12.0 GB of GPU memory, but 10.0 GB is available. Use --workers 4" in check(5)[1]
