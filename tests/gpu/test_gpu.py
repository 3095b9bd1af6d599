"""What only a GPU can show: that training happens there, what it costs, and what becomes of it when memory runs out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from setpoint.artifacts import StageContext, Workspace, read_json
from setpoint.demonstrations import Recipe, create, open_dataset
from setpoint.execution.sampling import GpuCounters
from setpoint.experiments.cost.memory import read_shape, training_gb
from setpoint.language import messages
from setpoint.policies import BUILTIN, BaseModel, resolve_base
from setpoint.policies.bases import builtin_path
from setpoint.policies.language_model import LanguageModel
from setpoint.policies.presets import TINY
from setpoint.policies.runtime import Runtime
from setpoint.problems import get, suite_states
from setpoint.training import grpo, sft

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DI = "double_integrator"
RUN = {"sft": sft.run, "grpo": grpo.run}
SHORT: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 2e-4, "steps": 6, "batch_size": 64, "warmup_steps": 1, "validation_every": 0},
    "grpo": {"learning_rate": 1e-4, "steps": 3, "batch_size": 256, "num_generations": 8, "warmup_steps": 1},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = Workspace(tmp_path_factory.mktemp("workspace"))
    create(root, None, Recipe(systems=(DI,), total_samples=400), workers=1)
    return root


@pytest.fixture
def unlimited() -> Iterator[None]:
    """Afterwards this process may use all of the GPU's memory again."""
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def context(
    workspace: Workspace, folder: Path, kind: str, base: BaseModel | None = None, data: str = DI, **parameters: Any
) -> StageContext:
    base = base or resolve_base(BUILTIN)
    places = {name: folder / kind / name for name in ("output", "checkpoints", "attempt")}
    for place in places.values():
        place.mkdir(parents=True)
    config = {
        "base": {"name": base.name, "digest": base.digest},
        "dialect": base.preset.prompt_format.definition(),
        "systems": [DI],
        "datasets": [{"name": data, "digest": open_dataset(workspace, data).digest}],
        "lora": {"rank": 8, "scale": 20.0, "dropout": 0.0},
        kind: {**SHORT[kind], **parameters},
    }
    return StageContext(workspace=workspace, kind=kind, stage_id=kind, config=config, seed=0, needs={}, **places)


def setpoint(*words: str, root: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "setpoint", *words, "--workspace", str(root)]
    return subprocess.run(command, check=False, capture_output=True, text=True, **options)


def peak_gb(run: Any) -> float:
    """The most that torch reserved while `run` was called."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    return torch.cuda.max_memory_reserved() / 1e9


def test_a_run_trains_on_the_gpu_and_says_what_it_cost(workspace: Workspace) -> None:
    words = ["train", "--system", DI, "--training-type", "both", "--run-id", "on_gpu", "--evaluation-cases", "50"]
    done = setpoint(*words, "--set", "sft.steps=60", "grpo.steps=10", root=workspace.root)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    spent = [read_json(path) for path in sorted(workspace.root.glob("stages/*/*/attempts/*/resources.json"))]
    print(json.dumps([{key: value for key, value in one.items() if key != "samples"} for one in spent], indent=1))
    training = [one for one in spent if one["gpu_hours"]]
    assert len(training) >= 3  # SFT, GRPO and the evaluations
    for one in training:
        assert one["gpu_hours"] == pytest.approx(one["wall_s"] / 3600, abs=2e-6)
        assert 0.001 < one["peak_gpu_gb"] < 10
        assert one["sampled_peak_gpu_gb"] >= one["peak_gpu_gb"]
    report = setpoint("report", "on_gpu", "--format", "markdown", root=workspace.root)
    assert "GPU hours" in report.stdout


def test_answers_are_those_of_the_processor() -> None:
    problem = get(DI)
    chats = [messages(problem, x, TINY.prompt_format) for x in suite_states(problem, "nominal", 100).tolist()]
    base = resolve_base(BUILTIN)
    on_gpu, on_cpu = (
        LanguageModel.load(base, runtime=Runtime(device, "float32", 1, 300, None)).complete(chats, 32)
        for device in ("cuda", "cpu")
    )
    equal = sum(one.text == other.text for one, other in zip(on_gpu, on_cpu, strict=True))
    print(f"{equal} of {len(chats)} answers are equal")
    assert equal >= 95  # rounding may tip a choice between two tokens that are as likely


@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_when_memory_runs_out_training_goes_on_in_smaller_parts(
    kind: str, workspace: Workspace, tmp_path: Path, unlimited: None
) -> None:
    whole = context(workspace, tmp_path / "whole", kind)
    needed = peak_gb(lambda: RUN[kind](whole))
    total = torch.cuda.get_device_properties(0).total_memory / 1e9
    torch.cuda.set_per_process_memory_fraction(0.7 * needed / total)
    limited = context(workspace, tmp_path / "limited", kind)
    summary: dict[str, Any] = {}
    used = peak_gb(lambda: summary.update(RUN[kind](limited)))
    print(f"{kind}: {needed:.3f} GB, then {used:.3f} GB with {summary['memory_reductions']} reductions")
    assert summary["memory_reductions"] >= 1
    assert summary["steps"] == SHORT[kind]["steps"]
    assert used <= 0.7 * needed + 1e-3


def test_what_a_base_needs_is_foretold(workspace: Workspace, tmp_path: Path, unlimited: None) -> None:
    base = resolve_base(str(random_base(tmp_path / "base")))
    shape = read_shape(base)
    assert shape is not None
    stage = context(workspace, tmp_path, "sft", base, steps=2, batch_size=8)
    used = peak_gb(lambda: sft.run(stage))
    rows = LanguageModel.load(base)._encode(messages(get(DI), [0.1, 0.1], base.preset.prompt_format))
    tokens = len(rows) + 24
    foretold = training_gb(shape, 8, tokens, 8, "gpu")
    print(f"{shape.weights / 1e6:.0f} M weights, rows of {tokens} tokens: {used:.2f} GB, foretold {foretold:.2f} GB")
    assert 0.5 < used / foretold < 1.5


def random_base(folder: Path) -> Path:
    """A base with a large vocabulary, untrained, that speaks with the tokenizer of the built-in one."""
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    sizes = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 12, "vocab_size": 65_536}
    heads = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64}
    config = Qwen3Config(**sizes, **heads, max_position_embeddings=8192, eos_token_id=2, pad_token_id=0)
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(builtin_path()).save_pretrained(folder)
    return folder


def test_what_a_killed_worker_held_on_the_gpu_is_free_again(tmp_path: Path) -> None:
    words = ["train", "--system", DI, "--training-type", "sft", "--run-id", "killed", "--set", "sft.steps=3000"]
    command = [sys.executable, "-m", "setpoint", *words, "--evaluation-cases", "10", "--workspace", str(tmp_path)]
    counters = GpuCounters()
    others = counters.processes()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as coordinator:
        for attempt in ("0001", "0002"):
            wait_for(lambda number=attempt: list(tmp_path.glob(f"stages/sft/*/attempts/{number}/metrics.jsonl")))
            (worker,) = wait_for(lambda: counters.processes() - others)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda gone=worker: gone not in counters.processes())
        assert coordinator.wait(120) == 5  # a lost worker is replaced once
    wait_for(lambda: counters.processes() <= others)
    failures = [read_json(path) for path in sorted(tmp_path.glob("stages/sft/*/attempts/*/failure.json"))]
    assert [failure["failure_class"] for failure in failures] == ["lost", "lost"]


def wait_for(ask: Any, limit_s: float = 90.0) -> Any:
    deadline_s = time.monotonic() + limit_s
    while not (found := ask()):
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.1)
    return found
