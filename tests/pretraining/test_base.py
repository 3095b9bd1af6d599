"""The built-in base: what it was made from, and that it cannot have met a named plant."""

import json
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import torch

from setpoint import plants, problems
from setpoint.controllers import solve_riccati
from setpoint.language import PromptFormat, compose_answer, format_number, messages, parse_answer
from setpoint.plants import Signal
from setpoint.plants.double_integrator import DoubleIntegrator
from setpoint.policies import BUILTIN, PRESETS, builtin_path, resolve_base
from setpoint.pretraining import families
from setpoint.pretraining.corpus import generate_corpus
from setpoint.pretraining.packing import Pack, collate
from setpoint.pretraining.pretrain import Architecture, TokenKinds, answer_loss, build_model
from setpoint.pretraining.tokenizer import prompt_only_tokens

RECORD = json.loads((builtin_path() / "recipe.json").read_text())
SHIPPED = {name: dict(plants.get(name).coefficients) for name in plants.shipped_names()}
NAMED = {name: coefficients for name, coefficients in SHIPPED.items() if coefficients}


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(builtin_path())


def test_no_training_plant_was_close_to_a_named_one() -> None:
    assert RECORD["exclusion"] == families.EXCLUSION == 0.2
    assert set(RECORD["corpus"]["nearest_to_named"]) >= set(NAMED) >= {"double_integrator", "van_der_pol", "pendulum"}
    assert min(RECORD["corpus"]["nearest_to_named"].values()) > families.EXCLUSION
    assert sum(RECORD["corpus"]["rejected_near_named"].values()) > 0
    assert RECORD["plant_name"] not in plants.names()


def test_the_record_is_of_a_recipe_within_its_budget() -> None:
    assert RECORD["cpu_s"]["total"] <= 4 * 3600
    for phase in ("pretraining", "settling"):
        entries = [entry for entry in RECORD["log"] if entry["phase"] == phase]
        assert entries[-1]["step"] == RECORD["recipe"][phase]["steps"]
    assert RECORD["log"][-1]["validation_nll"] < RECORD["log"][0]["validation_nll"]


def test_the_package_data_are_small() -> None:
    assert sum(file.stat().st_size for file in builtin_path().iterdir()) <= 5_000_000


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_plant_is_at_no_distance_from_itself_and_far_when_a_term_differs(name: str) -> None:
    own = NAMED[name]
    assert families.distance(own, own) == 0.0
    for term, factor in product(own, (0.7, 1.3)):
        changed = {**own, term: own[term] + (factor - 1) * max(1.0, abs(own[term]))}
        assert families.distance(changed, own) > families.EXCLUSION


def test_the_taylor_series_of_the_pendulum_counts_as_the_pendulum() -> None:
    polynomial = {"a": 9.81, "b": -0.1, "c": -1.635, "e": 1.0}
    assert families.distance(polynomial, NAMED["pendulum"]) < 1e-12


def test_chunks_of_the_corpus_depend_on_seed_and_index_alone() -> None:
    (rows, log), (others, _) = generate_corpus(7, range(2))
    (again, _) = next(iter(generate_corpus(7, range(1, 2))))
    assert again == others != rows
    assert log.rows == len(rows) > 250
    assert min(log.nearest_to_named.values()) > families.EXCLUSION


def test_answers_of_the_corpus_are_read_back() -> None:
    rows, _ = next(iter(generate_corpus(3, range(1))))
    prompt_format = PromptFormat()
    for row in rows[:200]:
        bounds = np.array(json.loads(f"[{row.prompt.split('umax=')[1].split(' r=')[0].split(' x')[0].strip('[]')}]"))
        moves = parse_answer(row.answer, prompt_format.blocking.moves, len(bounds))
        assert isinstance(moves, np.ndarray)
        assert (np.abs(moves).max(axis=0) <= bounds + 0.005).all()


def test_a_control_is_two_tokens_whatever_its_sign(tokenizer) -> None:  # type: ignore[no-untyped-def]
    preset = PRESETS["tiny"]
    for value in np.linspace(-9.99, 9.99, 41):
        text = f"<CONTROLS>{format_number(value, 2)}, {format_number(-value, 2)}</CONTROLS>"
        assert len(tokenizer(text)["input_ids"]) == 2 + 2 * preset.tokens_per_move


@pytest.mark.parametrize("name", plants.shipped_names())
def test_answers_have_the_layout_that_the_preset_states(name: str, tokenizer) -> None:  # type: ignore[no-untyped-def]
    preset, problem = PRESETS["tiny"], problems.get(name)
    gain, goal = solve_riccati(problem).gains[0], np.array(problem.target)
    for x in problem.initial_states(50, "layout"):
        feedback = -gain @ (x - goal)
        moves = np.linspace(problem.plant.control_lower, problem.plant.control_upper, 10)
        require_layout(
            preset, problem, compose_answer(problem, x, moves, feedback, preset.prompt_format), moves, tokenizer
        )


@dataclass(frozen=True)
class StrongDoubleIntegrator(DoubleIntegrator):
    controls = (Signal("acceleration", "m/s^2", -1250.0, 1250.0),)


def test_strong_controls_have_room_too(tokenizer) -> None:  # type: ignore[no-untyped-def]
    preset, problem = PRESETS["tiny"], replace(problems.get("double_integrator"), plant=StrongDoubleIntegrator())
    moves = np.linspace(-1249.99, -1000, 10)[:, None]
    answer = compose_answer(problem, np.zeros(2), moves, np.array([-1249.0]), preset.prompt_format)
    require_layout(preset, problem, answer, moves, tokenizer)


def require_layout(preset, problem, answer, moves, tokenizer) -> None:  # type: ignore[no-untyped-def]
    """The whole answer and its end, and its first four moves, fit into the tokens that are generated."""
    whole = tokenizer(answer)["input_ids"]
    assert len(whole) + 1 <= preset.answer_tokens(problem.plant, preset.prompt_format)
    head = tokenizer.decode(whole[: preset.answer_tokens(problem.plant, preset.prompt_format, 4)])
    parsed = parse_answer(head, 4, problem.plant.n_u, complete=False, decimals=preset.prompt_format.control_decimals)
    np.testing.assert_allclose(parsed, np.round(moves[:4], 2), atol=1e-9)


@pytest.mark.parametrize("name", plants.shipped_names())
def test_the_tokenizer_is_lossless(name: str, tokenizer) -> None:  # type: ignore[no-untyped-def]
    problem = problems.get(name)
    prompt = messages(problem, problem.initial_states(1, "layout")[0], PromptFormat())[0]["content"]
    assert tokenizer.decode(tokenizer(prompt)["input_ids"]) == prompt
    any_text = "Grüße, 世界! x^2 \n\t<tag>"
    assert tokenizer.decode(tokenizer(any_text)["input_ids"]) == any_text


def test_the_digest_is_of_what_transformers_loads() -> None:
    base = resolve_base(BUILTIN)
    assert base.preset is PRESETS["tiny"]
    assert len(base.digest) == 12


def test_kinds_of_tokens_hold_what_may_stand_in_each_others_place(tokenizer) -> None:  # type: ignore[no-untyped-def]
    kinds = TokenKinds.of(tokenizer)
    members: dict[int, set[str]] = {}
    for token, kind in enumerate(kinds.of_token.tolist()):
        members.setdefault(kind, set()).add(tokenizer.decode([token]))
    groups = [group for group in members.values() if len(group) > 1]
    assert {f"{number:02d}" for number in range(100)} in groups
    assert any({", 0.", ", -6."} <= group and "-6." not in group for group in groups)


def test_a_margin_weighs_the_probability_of_other_kinds(tokenizer) -> None:  # type: ignore[no-untyped-def]
    kinds = TokenKinds.of(tokenizer)
    model = build_model(Architecture(), tokenizer, seed=0)
    pair = tokenizer.convert_tokens_to_ids("37")
    pack = Pack(*(np.array(part) for part in ([5, 6, pair], [0, 0, 1], [0, 1, 2], [0, 0, 1])))
    with torch.no_grad():
        loss = answer_loss(model, collate([pack]), kinds, margin=2.0)
        share = torch.softmax(model(input_ids=torch.tensor([[5, 6, pair]])).logits[0, 1].double(), dim=-1)
    same = kinds.of_token == kinds.of_token[pair]
    expected = -torch.log(share[pair] / (share[same].sum() + np.exp(2.0) * share[~same].sum()))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_tokens_of_prompts_alone_are_never_generated(tokenizer) -> None:  # type: ignore[no-untyped-def]
    suppressed = set(json.loads((builtin_path() / "generation_config.json").read_text())["suppress_tokens"])
    assert suppressed == set(prompt_only_tokens(tokenizer))
    assert tokenizer.convert_tokens_to_ids("plant=") in suppressed
    rows, _ = next(iter(generate_corpus(5, range(1))))
    answered = {token for row in rows for token in tokenizer(row.answer + "<|im_end|>\n")["input_ids"]}
    assert not answered & suppressed
