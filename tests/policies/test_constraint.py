"""Constrained decoding: every answer can be read, and where it could be read anyway it is the same."""

from dataclasses import replace

import numpy as np
import pytest

from setpoint import plants, problems
from setpoint.language import PromptFormat, answer_grammar, compose_answer, longest_answer, messages
from setpoint.policies import BUILTIN, BaseModel, resolve_base
from setpoint.policies.controller import LLMController
from setpoint.policies.fetch import fetch
from setpoint.policies.language_model import LanguageModel
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.trajectory import Termination
from support.gguf_file import write_gguf

DI = problems.get("double_integrator")
BARE = PromptFormat("state", MoveBlocking(COARSE_TO_FINE.lengths[:4]), reasoning="none", state_decimals=3)


@pytest.fixture(scope="module")
def builtin() -> LanguageModel:
    return LanguageModel.load(resolve_base(BUILTIN))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base of random weights, whose answers cannot be read."""
    folder = tmp_path_factory.mktemp("untrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        file = write_gguf(folder / "tiny.gguf")
        fetch(str(file))
        return resolve_base(str(file))


def test_the_built_in_base_gives_the_same_answers_with_and_without(builtin: LanguageModel) -> None:
    preset = resolve_base(BUILTIN).preset
    chats = [messages(DI, x, preset.prompt_format) for x in DI.initial_states(20, "constraint").tolist()]
    free = builtin.complete(chats, 60)
    bound = builtin.complete(chats, 60, grammar=answer_grammar(DI, preset.prompt_format))
    assert [each.text for each in bound] == [each.text for each in free]


@pytest.mark.parametrize(
    "prompt_format",
    [
        BARE,
        replace(BARE, control_decimals=0),
        replace(BARE, reasoning="feedback", template="short"),
        pytest.param(replace(BARE, reasoning="full", template="english"), marks=pytest.mark.slow),
    ],
    ids=["bare", "integers", "feedback", "full"],
)
@pytest.mark.parametrize("name", ["double_integrator", "attitude_mrp"])
def test_every_answer_of_an_untrained_base_can_be_read(
    name: str, prompt_format: PromptFormat, untrained: BaseModel
) -> None:
    problem, model = problems.get(name), LanguageModel.load(untrained)
    states = problem.initial_states(3, "constraint")
    free = LLMController(problem, model, untrained.preset, prompt_format)
    bound = LLMController(problem, model, untrained.preset, prompt_format, constrained=True)
    assert Termination.COMPLETED not in free.plan(0.0, states, 5).outcomes
    for steps in (1, 5):
        plan = bound.plan(0.0, states, steps)
        assert plan.outcomes == (Termination.COMPLETED,) * 3
        assert plan.controls.shape[1] >= steps
    assert Termination.COMPLETED not in bound.unconstrained().plan(0.0, states, 5).outcomes


@pytest.mark.parametrize("name", plants.names())
def test_the_grammar_accepts_what_is_taught(name: str, builtin: LanguageModel) -> None:
    problem, model = problems.get(name), builtin
    plant = problem.plant
    for prompt_format in (BARE, PromptFormat(control_decimals="auto")):
        count = prompt_format.blocking.moves
        moves = np.linspace(plant.control_lower, plant.control_upper, count)
        texts = [
            longest_answer(problem, count, prompt_format),
            compose_answer(problem, np.zeros(plant.n_x), moves, np.full(plant.n_u, -1.25), prompt_format),
        ]
        for text in texts:
            answer = model._grammar.new_answer(answer_grammar(problem, prompt_format))
            for token in model._tokenizer(text, add_special_tokens=False)["input_ids"]:
                assert answer.allowed()[token], text
                answer.take(token)
            assert answer.ended, text
