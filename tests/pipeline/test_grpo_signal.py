"""What GRPO's loss covers, what its pre-flight refuses, and the held-out rewards that it keeps the best adapter by."""

import json

import numpy as np
import pytest
import torch

from setpoint.artifacts import Workspace
from setpoint.cli.main import main
from setpoint.demonstrations import Recipe, create
from setpoint.errors import StageError
from setpoint.policies import builtin_path
from setpoint.training.held_out import REWARD, HeldOutRewards
from setpoint.training.move_trainer import move_mask
from setpoint.training.scoring import Preflight


def test_the_loss_covers_the_moves_and_whole_answers_without_any() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(builtin_path())
    answer = "<REASONING>feedback -1.20</REASONING><CONTROLS>-1.20, 0.30</CONTROLS>"
    ids = tokenizer([answer, "feedback feedback"], padding=True, padding_side="right", return_tensors="pt")["input_ids"]
    mask = move_mask(ids, tokenizer.decode)
    covered = tokenizer.decode(ids[0][mask[0].bool()], skip_special_tokens=True)
    assert covered == "-1.20, 0.30</CONTROLS>"
    assert mask[1].all()


@pytest.mark.parametrize(
    ("readable", "spread", "wrong"),
    [(0.0, 0.0, "no sampled answer is readable"), (1.0, 0.0, "the answers to each prompt have equal rewards")],
)
def test_a_stage_without_signal_is_refused_before_its_first_step(readable: float, spread: float, wrong: str) -> None:
    found = Preflight(readable, spread, greedy=1.0, sampled=1.0, best=1.0, spread=0.0)
    with pytest.raises(StageError, match=wrong) as caught:
        found.require_signal()
    assert caught.value.failure_class == "no_learning_signal"
    Preflight(0.9, 0.5, 1.0, 0.5, 2.0, 0.7).require_signal()


class _State:
    """The part of the trainer's state that the callback uses."""

    def __init__(self) -> None:
        self.global_step, self.max_steps, self.log_history = 0, 4, []  # type: ignore[var-annotated]


def test_the_adapter_with_the_best_held_out_reward_is_kept(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Linear(1, 1, bias=False)
    by_step = {0: [0.0, 1.0], 2: [2.0, 2.0], 4: [1.0, 2.0]}
    state, logged = _State(), []
    callback = HeldOutRewards(lambda: np.array(by_step[state.global_step]), 2, tmp_path, logged.append)
    callback.on_train_begin(None, state, None, model)  # type: ignore[arg-type]
    for step in range(1, 5):
        state.global_step = step
        with torch.no_grad():
            model.weight.fill_(step)
        callback.on_step_end(None, state, None, model)  # type: ignore[arg-type]
    assert [(line["step"], line[REWARD]) for line in logged] == [(0, 0.5), (2, 2.0), (4, 1.5)]
    assert callback.best()["weight"].item() == 2.0
    gain = callback.gain(state)  # type: ignore[arg-type]
    assert (gain.kept_step, gain.start, gain.kept) == (2, 0.5, 2.0)
    assert gain.gain_error == pytest.approx(0.5)  # differences 2 and 1
    callback.on_train_begin(None, state, None, model)  # type: ignore[arg-type]
    assert len(logged) == 3


def test_the_command_tells_a_signal_from_none_and_publishes_nothing(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    given = ["grpo", "preflight", "--workspace", str(tmp_path), "--json", "--system"]
    create(Workspace(tmp_path), "few", Recipe(("double_integrator",), 40, split_ratio=0.6), workers=1)
    few = ["--dataset-name", "few"]
    assert main([*given, "double_integrator", *few, "--set", "grpo.batch_size=8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["readable"] > 0.9
    assert found["groups_with_spread"] > 0.9
    assert found["best"] > found["sampled"] + 0.1
    assert not list(Workspace(tmp_path).stages.glob("*/*"))
    # With almost no temperature, all samples of a prompt are the most likely answer.
    assert main([*given, "double_integrator", *few, "--set", "grpo.batch_size=8", "grpo.temperature=1e-4"]) == 3
    printed = capsys.readouterr()
    assert json.loads(printed.out)["groups_with_spread"] == 0.0
    assert "no signal" in printed.err
