"""SFT, DAgger and GRPO as stages on the built-in base: a few steps each, with the properties that long runs rely on."""

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from setpoint import problems
from setpoint.artifacts import StageContext, Workspace, read_json
from setpoint.controllers import DetunedLqr
from setpoint.demonstrations import Recipe, create
from setpoint.demonstrations.label import Labeller
from setpoint.errors import InputError, StageError
from setpoint.fingerprint import file_digest
from setpoint.language import messages
from setpoint.policies import BUILTIN, PRESETS, resolve_base
from setpoint.policies.language_model import LanguageModel, load_base
from setpoint.policies.runtime import Runtime
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.training import dagger, grpo, sft
from setpoint.training.batches import BatchLayout
from setpoint.training.checkpoints import newest_complete, seal
from setpoint.training.rows import Example, schedule

RUN: dict[str, Callable[[StageContext], dict[str, Any]]] = {"sft": sft.run, "dagger": dagger.run, "grpo": grpo.run}
SHORT: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 5e-4, "steps": 6, "batch_size": 4, "warmup_steps": 1, "validation_every": 2},
    "dagger": {"learning_rate": 5e-4, "steps": 6, "batch_size": 4, "warmup_steps": 1, "rounds": 2, "episodes": 3},
    "grpo": {"learning_rate": 5e-5, "steps": 6, "batch_size": 8, "num_generations": 4, "warmup_steps": 1},
}
SYSTEMS = ("double_integrator", "van_der_pol")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = Workspace(tmp_path_factory.mktemp("workspace"))
    for system in SYSTEMS:
        create(root, None, Recipe(systems=(system,), total_samples=40, split_ratio=0.6), workers=1)
    return root


Make = Callable[..., StageContext]


def maker(workspace: Workspace, root: Path) -> Make:
    """Makes stage contexts; the same `place` finds the checkpoints of the last attempt again."""

    def context(
        kind: str, place: str = "stage", *, systems: tuple[str, ...] = SYSTEMS[:1], **given: Any
    ) -> StageContext:
        base = resolve_base(BUILTIN)
        folders = {name: root / place / name for name in ("output", "checkpoints", "attempt")}
        shutil.rmtree(folders["output"], ignore_errors=True)
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "base": {"name": base.name, "digest": base.digest},
            "dialect": base.preset.prompt_format.definition(),
            "systems": list(systems),
            "datasets": [{"name": system, "digest": dataset_digest(workspace, system)} for system in systems],
            "lora": {"rank": 4, "scale": 20.0, "dropout": 0.0},
            kind: {**SHORT[kind], **given.pop("parameters", {})},
        }
        config.update(given.pop("config", {}))
        described = {"seed": 0, "needs": {}, **given}
        return StageContext(workspace=workspace, kind=kind, stage_id=kind, config=config, **folders, **described)

    return context


@pytest.fixture
def make(workspace: Workspace, tmp_path: Path) -> Make:
    return maker(workspace, tmp_path)


@dataclass(frozen=True)
class Finished:
    """A stage that ran without any disturbance."""

    context: StageContext
    summary: dict[str, Any]


@pytest.fixture(scope="module")
def finished(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Finished]:
    """The undisturbed stage of each kind, run once."""
    make = maker(workspace, tmp_path_factory.mktemp("finished"))

    @cache
    def run(kind: str) -> Finished:
        context = make(kind, kind)
        return Finished(context, RUN[kind](context))

    return run


Finish = Callable[[str], Finished]


def dataset_digest(workspace: Workspace, name: str) -> str:
    return str(json.loads((workspace.datasets / name / "manifest.json").read_text())["digest"])


def adapter_digest(context: StageContext) -> str:
    return file_digest(context.output / "adapter" / "adapter_model.safetensors")


class Killed(BaseException):
    """Ends a stage as a signal would, with nothing cleaned up."""


@dataclass(frozen=True, slots=True)
class FatalContext(StageContext):
    """Dies when the fourth step is logged, which is before that step's checkpoint."""

    def log(self, record: Any) -> None:
        """Log or die."""
        if record["step"] == 4:
            raise Killed


def fatal(context: StageContext) -> StageContext:
    return FatalContext(**{name: getattr(context, name) for name in context.__dataclass_fields__})


@pytest.mark.parametrize("kind", ["sft", "dagger", "grpo"])
def test_a_stage_publishes_an_adapter_a_curve_and_a_summary(kind: str, make: Make, capfd: Any) -> None:
    context = make(kind, systems=SYSTEMS)
    summary = RUN[kind](context)
    printed = capfd.readouterr()
    # Every tenth step is printed: here only the scores of GRPO before its first step.
    assert [line.partition(":")[0] for line in printed.out.splitlines()] == (["step 0"] * 2 if kind == "grpo" else [])
    assert printed.err == ""
    folder = context.output / "adapter"
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "setpoint.json",
    }  # fmt: skip
    record = read_json(folder / "setpoint.json")
    assert record["kind"] == kind
    assert {name: record[name] for name in context.config} == context.config
    assert record["base"]["digest"] in (folder / "README.md").read_text()
    assert read_json(folder / "adapter_config.json")["base_model_name_or_path"] == BUILTIN
    assert summary["steps"] == 6
    assert summary["precision"] == "float32"
    assert all(math.isfinite(value) for value in summary.values() if isinstance(value, float))
    curve = [json.loads(line) for line in (context.attempt / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in curve if "loss" in line]
    assert [line["step"] for line in trained] == list(range(1, 7))
    assert {line["stage"] for line in curve} == {kind}
    assert {"learning_rate"} | ({"reward", "reward_std", "readable"} if kind == "grpo" else set()) <= trained[-1].keys()


@pytest.mark.parametrize("kind", ["sft", "dagger", "grpo"])
def test_a_run_that_was_killed_and_resumed_ends_in_the_same_bytes(kind: str, make: Make, finished: Finish) -> None:
    resumed = killed_and_resumed(kind, make, {}, finished(kind))
    logged = (resumed.attempt / "metrics.jsonl").read_text().splitlines()
    assert json.loads(logged[0])["step"] == 4


@pytest.mark.slow
def test_resuming_is_exact_when_the_best_adapter_is_older_than_the_checkpoint(make: Make) -> None:
    worsening = {"patience": 2, "learning_rate": 0.01, "warmup_steps": 6}
    whole = make("sft", "whole", parameters=worsening)
    summary = sft.run(whole)
    assert summary["kept_step"] == 2
    killed_and_resumed("sft", make, worsening, Finished(whole, summary))


@pytest.mark.slow
def test_resuming_is_exact_with_a_reference_policy_beside_the_adapter(make: Make) -> None:
    whole = make("grpo", "whole", parameters={"beta": 0.05})
    killed_and_resumed("grpo", make, {"beta": 0.05}, Finished(whole, grpo.run(whole)))


def killed_and_resumed(kind: str, make: Make, parameters: dict[str, Any], whole: Finished) -> StageContext:
    """A stage that died after its third step and was run again, with the same result as `whole`."""
    with pytest.raises(Killed):
        RUN[kind](fatal(make(kind, "killed", parameters=parameters)))
    resumed = make(kind, "killed", parameters=parameters)
    # Three steps are also the first of two rounds of DAgger.
    places = [path.relative_to(resumed.checkpoints).as_posix() for path in resumed.checkpoints.rglob("checkpoint-*")]
    assert places == ["round-1/checkpoint-3" if kind == "dagger" else "checkpoint-3"]
    assert RUN[kind](resumed) == whole.summary
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert file_digest(resumed.output / "adapter" / name) == file_digest(whole.context.output / "adapter" / name)
    return resumed


@pytest.mark.parametrize("kind", ["sft", "dagger", "grpo"])
def test_another_seed_is_another_run(kind: str, make: Make, finished: Finish) -> None:
    other = make(kind, seed=1)
    assert RUN[kind](other) != finished(kind).summary
    assert adapter_digest(other) != adapter_digest(finished(kind).context)


def test_a_checkpoint_of_another_configuration_is_not_continued(make: Make) -> None:
    with pytest.raises(Killed):
        sft.run(fatal(make("sft", "changed")))
    changed = make("sft", "changed", parameters={"learning_rate": 1e-3})
    fresh = make("sft", "fresh", parameters={"learning_rate": 1e-3})
    assert sft.run(changed) == sft.run(fresh)
    assert adapter_digest(changed) == adapter_digest(fresh)


def test_dagger_labels_what_it_visits_and_repeats_no_round(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    context = make("dagger", "visits", systems=SYSTEMS, parameters={"expert_share": 1.0})
    summary = dagger.run(context)
    assert summary["states_visited"] == 2 * 2 * 3 * 10  # rounds, systems, episodes, plans of an episode
    assert 0.5 * summary["states_visited"] < summary["states_labelled"] <= summary["states_visited"]
    stored = sorted(path.name for path in context.checkpoints.glob("*.npz"))
    assert stored == sorted(f"round-{number}-{system}.npz" for number in (1, 2) for system in SYSTEMS)
    with np.load(context.checkpoints / "round-1-double_integrator.npz") as visits:
        states, moves, found = visits["states"], visits["moves"], visits["found"]
    problem = problems.get("double_integrator")
    assert found[:3].all()  # the expert leads from states in the initial set
    from setpoint.controllers.shooting import TrajectoryOptimizer

    blocking = resolve_base(BUILTIN).preset.prompt_format.blocking
    optimum = TrajectoryOptimizer(problem, blocking).solve(states[4])
    assert optimum is not None
    np.testing.assert_allclose(moves[4], optimum.moves, atol=1e-7)

    def solved_again(*_: Any) -> Any:
        raise AssertionError("a finished round was labelled again")

    monkeypatch.setattr("setpoint.demonstrations.label.Labeller.label", solved_again)
    again = make("dagger", "visits", systems=SYSTEMS, parameters={"expert_share": 1.0})
    assert dagger.run(again) == summary


def test_dagger_labels_with_the_expert_of_the_demonstrations(workspace: Workspace, make: Make) -> None:
    create(workspace, "weak", Recipe(("pendulum",), 20, expert="detuned", split_ratio=0.6), workers=1)
    config = {"datasets": [{"name": "weak", "digest": dataset_digest(workspace, "weak")}], "systems": ["pendulum"]}
    context = make("dagger", "weak", parameters={"steps": 2, "rounds": 1}, config=config)
    dagger.run(context)
    problem = problems.get("pendulum")
    with np.load(context.checkpoints / "round-1-pendulum.npz") as visits:
        state, moves = visits["states"][:1], visits["moves"][0]
    planned = DetunedLqr(problem).plan(0.0, state, problem.steps).controls[0]
    np.testing.assert_allclose(moves, resolve_base(BUILTIN).preset.prompt_format.blocking.average(planned))


def test_states_without_a_label_are_left_out() -> None:
    problem = problems.get("double_integrator")
    labels = Labeller(problem, COARSE_TO_FINE, "optimal").label(np.array([[0.2, 0.1], [40.0, 0.0], [np.nan, 0.0]]))
    assert labels.found.tolist() == [True, False, False]
    assert np.isfinite(labels.moves).all()
    assert not labels.moves[1:].any()


def test_grpo_goes_on_from_its_parent(make: Make, finished: Finish) -> None:
    parent = finished("sft").context
    continued = make("grpo", "continued", needs={"parent": parent.output}, parameters={"beta": 0.05})
    with pytest.raises(Killed):
        grpo.run(fatal(continued))
    grpo.run(continued)
    tensors = [adapter_tensors(context) for context in (parent, continued, finished("grpo").context)]
    distance = [sum(float((tensors[0][n] - other[n]).abs().sum()) for n in other) for other in tensors[1:]]
    assert 0 < distance[0] < distance[1] / 2


def adapter_tensors(context: StageContext) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = load_file(context.output / "adapter" / "adapter_model.safetensors")
    return tensors


def test_a_parent_of_another_rank_is_refused(make: Make, finished: Finish) -> None:
    parent = finished("sft").context
    config = {"lora": {"rank": 8, "scale": 20.0, "dropout": 0.0}}
    with pytest.raises(InputError, match=r"has rank 4 and scale .*, but rank 8 and scale 20 were requested"):
        grpo.run(make("grpo", "child", needs={"parent": parent.output}, config=config))


def test_plain_peft_gives_the_same_completions(make: Make) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    context = make("sft", parameters={"learning_rate": 5e-3})
    sft.run(context)
    base, folder = resolve_base(BUILTIN), context.output / "adapter"
    problem = problems.get("double_integrator")
    chats = [
        messages(problem, x, base.preset.prompt_format) for x in problem.initial_states(12, "test_training").tolist()
    ]
    answers = LanguageModel.load(base, folder).complete(chats, 32)
    model, tokenizer = (auto.from_pretrained(base.location) for auto in (AutoModelForCausalLM, AutoTokenizer))
    assert model.dtype == torch.float32
    assert [answer.text for answer in answers] != [a.text for a in LanguageModel.load(base).complete(chats, 32)]
    plain = PeftModel.from_pretrained(model, str(folder)).eval()
    for chat, answer in zip(chats, answers, strict=True):
        prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = plain.generate(**prompt, max_new_tokens=32, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        assert tokenizer.decode(output, skip_special_tokens=True) == answer.text
        assert (len(output), int(output[-1]) == tokenizer.eos_token_id) == (answer.tokens, answer.ended)


def test_completions_do_not_depend_on_what_else_is_in_the_batch() -> None:
    base = resolve_base(BUILTIN)
    chats = [
        messages(problems.get(system), x, base.preset.prompt_format)
        for system in ("pendulum", "double_integrator")
        for x in problems.get(system).initial_states(5, "test_training").tolist()
    ]
    runtime = Runtime.detect()
    together = LanguageModel.load(base, runtime=runtime).complete(chats, 32)
    alone = LanguageModel.load(base, runtime=replace(runtime, generation_batch_size=1)).complete(chats, 32)
    assert together == alone


def test_patience_keeps_the_adapter_of_the_lowest_validation_loss(make: Make) -> None:
    parameters = {"steps": 40, "learning_rate": 0.02, "validation_every": 1, "patience": 2, "warmup_steps": 0}
    context = make("sft", parameters=parameters)
    summary = sft.run(context)
    curve = [json.loads(line) for line in (context.attempt / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["validation_loss"] for line in curve if "validation_loss" in line}
    best = min(losses, key=lambda step: losses[step])
    assert summary["steps"] == best + 2 < 40
    assert (summary["kept_step"], summary["validation_loss"]) == (best, losses[best])


@pytest.mark.parametrize("rate", [1e4, 1e30])
def test_an_exploding_rate_is_diverged(rate: float, make: Make) -> None:
    with pytest.raises(StageError) as caught:
        sft.run(make("sft", parameters={"learning_rate": rate, "warmup_steps": 0}))
    assert caught.value.failure_class == "diverged"
    assert caught.value.evidence["highest_learning_rate"]
    assert "learning_rate" in caught.value.suggestion


def test_a_rate_too_small_for_any_change_is_no_learning_signal(make: Make) -> None:
    with pytest.raises(StageError) as caught:
        sft.run(make("sft", parameters={"learning_rate": 1e-60}))
    assert caught.value.failure_class == "no_learning_signal"


def test_answers_that_are_all_alike_are_no_learning_signal(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    untrained = tmp_path / "untrained"
    shutil.copytree(resolve_base(BUILTIN).location, untrained)
    model, _ = load_base(resolve_base(BUILTIN), Runtime.detect())
    AutoModelForCausalLM.from_config(model.config).save_pretrained(untrained)
    monkeypatch.setattr("setpoint.policies.bases.builtin_path", lambda: untrained)
    with pytest.raises(StageError) as caught:
        grpo.run(make("grpo", parameters={"steps": 2}))
    assert caught.value.failure_class == "no_learning_signal"
    assert caught.value.evidence["preflight_readable"] == 0.0


def test_a_data_set_or_base_other_than_planned_is_refused(make: Make) -> None:
    with pytest.raises(StageError) as caught:
        sft.run(make("sft", config={"datasets": [{"name": "double_integrator", "digest": "0"}]}))
    assert caught.value.failure_class == "data"
    with pytest.raises(InputError, match="'nothing'"):
        sft.run(make("sft", config={"datasets": [{"name": "nothing", "digest": "0"}]}))
    with pytest.raises(InputError, match="planned with ffff"):
        sft.run(make("sft", config={"base": {"name": BUILTIN, "digest": "ffff"}}))


@pytest.mark.parametrize("kind", ["sft", pytest.param("grpo", marks=pytest.mark.slow)])
def test_where_memory_runs_out_the_batch_is_cut_up_without_changing_the_objective(
    kind: str, make: Make, finished: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Trainer

    ordinary, expected = finished(kind).context, finished(kind).summary
    step = Trainer.training_step

    def limited(trainer: Any, *given: Any, **named: Any) -> Any:
        if trainer.args.per_device_train_batch_size > 2:
            raise torch.OutOfMemoryError("out of memory")
        return step(trainer, *given, **named)

    monkeypatch.setattr(Trainer, "training_step", limited)
    reduced = make(kind, "reduced")
    summary = RUN[kind](reduced)
    assert (expected["memory_reductions"], summary["micro_batch"]) == (0, 2)
    assert summary["memory_reductions"] == {"sft": 1, "grpo": 2}[kind]
    if kind == "sft":  # in GRPO the completions are sampled in other parts, from another stream
        before, after = adapter_tensors(ordinary), adapter_tensors(reduced)
        np.testing.assert_allclose(
            torch.cat([t.flatten() for t in after.values()]),
            torch.cat([t.flatten() for t in before.values()]),
            atol=2e-4,
        )


@pytest.mark.parametrize(
    ("layout", "micro_batches", "generation_batches"),
    [
        (BatchLayout(16, 16, 16), [8, 4, 2, 1], [8, 4, 2, 1]),
        (BatchLayout(64, 8, 64, group_size=8), [4, 2, 1], [32, 16, 8]),
        (BatchLayout(12, 12, 12, group_size=4), [6, 3, 1], [12, 12, 4]),
    ],
)
def test_layouts_shrink_to_single_rows_in_whole_groups(
    layout: BatchLayout, micro_batches: list[int], generation_batches: list[int]
) -> None:
    found = []
    smaller = layout.smaller()
    while smaller is not None:
        found.append(smaller)
        assert smaller.accumulation * smaller.micro_batch == smaller.batch_size
        assert smaller.steps_per_generation * smaller.micro_batch == smaller.generation_batch
        assert smaller.accumulation % smaller.steps_per_generation == 0
        assert smaller.generation_batch % smaller.group_size == 0
        smaller = smaller.smaller()
    assert [each.micro_batch for each in found] == micro_batches
    assert [each.generation_batch for each in found] == generation_batches


def example(system: str, number: int) -> Example:
    controls = np.arange(50.0)[:, None]
    moves = COARSE_TO_FINE.average(controls)
    return Example(system, np.array([number, 0.0]), moves, controls, COARSE_TO_FINE, np.zeros(1), 1.0)


def test_one_dataset_serves_every_format() -> None:
    row = example("double_integrator", 0)
    np.testing.assert_array_equal(row.answered(COARSE_TO_FINE), row.moves)
    np.testing.assert_array_equal(row.answered(MoveBlocking(COARSE_TO_FINE.lengths[:4])), row.moves[:4])
    np.testing.assert_array_equal(row.answered(MoveBlocking.none(50)), row.controls)
    np.testing.assert_array_equal(row.answered(MoveBlocking((5, 5)))[:, 0], [2.0, 7.0])
    short = replace(PRESETS["small"].prompt_format, control_decimals=1)
    assert row.answer(short) == "0.0, 1.0, 2.5, 4.5"


def test_systems_have_equal_shares_and_every_pass_has_every_row() -> None:
    examples = {
        system: [example(system, i) for i in range(count)]
        for system, count in (("double_integrator", 5), ("pendulum", 3))
    }
    seen = schedule(examples, 30, "sft", 0)
    assert [example.system for example in seen] == ["double_integrator", "pendulum"] * 15
    for system, rows in examples.items():
        order = [int(example.state[0]) for example in seen if example.system == system]
        passes = [order[start : start + len(rows)] for start in range(0, 15, len(rows))]
        assert all(sorted(each) == list(range(len(rows))) for each in passes)
        assert len({tuple(each) for each in passes}) > 1
    again, other = schedule(examples, 30, "sft", 0), schedule(examples, 30, "sft", 1)
    assert [id(example) for example in again] == [id(example) for example in seen] != [id(e) for e in other]
    assert seen[:10] == schedule(examples, 10, "sft", 0)


def checkpoint(folder: Path, step: int, fingerprint: str = "f") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "optimizer.pt").write_bytes(b"x" * 100)
    seal(path, fingerprint)
    return path


def test_only_whole_checkpoints_of_this_stage_are_continued(tmp_path: Path) -> None:
    good = checkpoint(tmp_path, 20)
    (checkpoint(tmp_path, 100) / "optimizer.pt").write_bytes(b"x" * 50)
    (checkpoint(tmp_path, 90) / "optimizer.pt").write_bytes(b"y" * 100)
    (checkpoint(tmp_path, 80) / "seal.json").unlink()
    checkpoint(tmp_path, 70, "another")
    assert newest_complete(tmp_path, "f") == good
    assert list(tmp_path.iterdir()) == [good]
    assert newest_complete(tmp_path, "another") is None


@pytest.mark.parametrize("kind", ["sft", "dagger", "grpo"])
def test_a_stage_that_is_asked_to_end_saves_its_state_and_is_continued_exactly(
    kind: str, make: Make, finished: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = make(kind, "asked")
    curve = asked.attempt / "metrics.jsonl"

    def must_end(_context: StageContext) -> str | None:
        return "asked to end by SIGUSR1" if curve.exists() and '"step": 3' in curve.read_text() else None

    with monkeypatch.context() as patch:
        patch.setattr(StageContext, "must_end", must_end)
        with pytest.raises(StageError, match="asked to end by SIGUSR1, after saving step") as ended:
            RUN[kind](asked)
    assert ended.value.failure_class == "preempted"
    assert len(list(asked.checkpoints.rglob("checkpoint-*"))) == (2 if kind == "dagger" else 1)
    resumed = make(kind, "asked")
    RUN[kind](resumed)
    assert adapter_digest(resumed) == adapter_digest(finished(kind).context)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sft", "dagger", "grpo"])
def test_a_worker_ended_by_sigkill_is_continued_exactly(kind: str, make: Make, tmp_path: Path) -> None:
    parameters = {"steps": 40}
    whole = make(kind, "whole", parameters=parameters)
    RUN[kind](whole)
    killed = make(kind, "killed", parameters=parameters)
    described = tmp_path / "context.json"
    fields = {name: getattr(killed, name) for name in killed.__dataclass_fields__}
    fields["workspace"] = killed.workspace.root
    described.write_text(json.dumps(fields, default=str))
    code = f"""
import json, sys
from pathlib import Path
from setpoint.artifacts import StageContext, Workspace
from setpoint.training import {kind}
fields = json.loads(Path(sys.argv[1]).read_text())
paths = {{name: Path(fields[name]) for name in ("output", "checkpoints", "attempt")}}
{kind}.run(StageContext(**{{**fields, **paths, "workspace": Workspace(Path(fields["workspace"]))}}))
"""
    worker = subprocess.Popen([sys.executable, "-c", code, str(described)])
    curve = killed.attempt / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not curve.exists() or '"step": 15' not in curve.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    resumed = make(kind, "killed", parameters=parameters)
    assert list(resumed.checkpoints.rglob("checkpoint-*"))
    RUN[kind](resumed)
    assert adapter_digest(resumed) == adapter_digest(whole)
