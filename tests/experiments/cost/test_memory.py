"""What fits into memory is told before it runs; what does not fit at all is refused."""

import json
from pathlib import Path

import pytest

from setpoint.errors import InputError
from setpoint.experiments.cost.memory import check_batches, read_shape
from setpoint.experiments.preflight import require_fit
from setpoint.policies import BUILTIN, BaseModel, resolve_base
from setpoint.policies.presets import GENERAL, PRESETS
from setpoint.records.plan import PlannedStage
from support.sweeps import make_plan

QWEN_4B = {
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "vocab_size": 151_936,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "dtype": "bfloat16",
}


@pytest.fixture
def large(tmp_path: Path) -> BaseModel:
    """A base of four thousand million weights, which take no room on the disk."""
    (tmp_path / "config.json").write_text(json.dumps(QWEN_4B))
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2 * 4_000_000_000)
    return BaseModel(name="large", location=str(tmp_path), digest="l0", preset=GENERAL)


def stages(**fields: object) -> list[PlannedStage]:
    plan = make_plan(**{"systems": "di", "fixed": {"sft.batch_size": 16, "grpo.batch_size": 64}, **fields})
    return list(plan.stages.values())


def test_the_built_in_base_fits_anywhere() -> None:
    base = resolve_base(BUILTIN)
    shape = read_shape(base)
    assert shape is not None
    assert 100_000 < shape.weights < 10_000_000
    assert [check.result for check in check_batches(base, stages(), 1.5, "cpu")] == ["ok", "ok"]


def test_a_batch_that_fits_is_proposed(large: BaseModel) -> None:
    plenty = check_batches(large, stages(), 141.0, "gpu")
    assert [check.result for check in plenty] == ["ok", "ok"]
    sft, grpo = check_batches(large, stages(), 12.5, "gpu")
    assert sft.result == "remark"
    assert "batch_size 16 in micro-batches of 8 requires about" in sft.text
    assert "Training will use micro-batches of 4, 4 per step, with the same objective" in sft.text
    assert grpo.result == "remark"
    require_fit([sft, grpo])


def test_too_little_memory_is_refused(large: BaseModel) -> None:
    found = check_batches(large, stages(), 8.0, "gpu")
    assert {check.result for check in found} == {"problem"}
    with pytest.raises(InputError, match=r"memory for sft: a micro-batch of 1 requires about .* GB, 8.0 GB available"):
        require_fit(found)


def test_a_base_that_does_not_say_is_left_to_the_trainer(tmp_path: Path) -> None:
    hub = BaseModel(name="owner/model", location="owner/model", digest="h0", preset=GENERAL)
    assert check_batches(hub, stages(), 1.0, "gpu") == []


def test_the_rows_at_first_are_those_of_the_trainer() -> None:
    from setpoint.experiments.cost.memory import _FIRST_MICRO_BATCH
    from setpoint.policies.runtime import Runtime

    for name, preset in PRESETS.items():
        runtime = Runtime.detect(preset)
        device = "cpu" if runtime.device == "cpu" else "gpu"
        assert _FIRST_MICRO_BATCH[device][name] == runtime.largest_micro_batch
