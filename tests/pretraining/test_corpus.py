"""Random plants of the pre-training corpus: dynamics, labels, distances to named plants and packs of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from setpoint import plants
from setpoint.controllers import solve_riccati
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.plants import linearise
from setpoint.policies import builtin_path
from setpoint.pretraining import families
from setpoint.pretraining.corpus import TextRow, generate_corpus
from setpoint.pretraining.labels import Problems, gains, solve
from setpoint.pretraining.packing import PREFIX, batches, collate, pack_rows
from setpoint.pretraining.pretrain import (
    Architecture,
    Pretraining,
    TokenKinds,
    answer_loss,
    build_model,
    pretrain,
)
from setpoint.pretraining.random_plants import (
    LARGEST_ORDER,
    RandomPlant,
    draw_chains,
    draw_second_order,
    drawn_plant,
    stacked,
)
from setpoint.problems import COARSE_TO_FINE, Problem

WIDE = 1e3


def draws(shape: tuple[int, int], count: int, seed: int = 0) -> list[RandomPlant]:
    """The first `count` drawn plants of this size."""
    rng = np.random.default_rng(seed)
    found: list[RandomPlant] = []
    while len(found) < count:
        drawn = draw_chains(rng)
        found += [drawn] if drawn.shape == shape else []
    return found


def problems_of(drawn: list[RandomPlant], u_bound: float = 2.0, x_bound: float = np.inf) -> Problems:
    count, (n_x, n_u) = len(drawn), drawn[0].shape
    return Problems(
        stacked(drawn),
        np.full((count, n_x), 10.0),
        np.full((count, n_u), 0.1),
        np.full(count, 10.0),
        np.full((count, n_u), u_bound),
        np.full((count, n_x), x_bound),
    )


def certified(drawn: RandomPlant, u_bound: float, x_bound: float = WIDE) -> Problem:
    n_x, n_u = drawn.shape
    bound = np.full(n_x, x_bound)
    return Problem(
        plant=drawn_plant(drawn, "generic", np.full(n_u, u_bound), -bound, bound),
        steps=50,
        q=(10.0,) * n_x,
        r=(0.1,) * n_u,
        terminal_weight=10.0,
        target=(0.0,) * n_x,
        half_width=tuple(np.minimum(drawn.half_width, x_bound).tolist()),
    )


@pytest.mark.parametrize("shape", [(3, 3), (4, 1), (4, 2), (6, 3)])
def test_a_batch_moves_like_the_plants_that_prompts_describe(shape: tuple[int, int]) -> None:
    drawn = draws(shape, 6)
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (6, shape[0])) * np.array([plant.half_width for plant in drawn])
    u = rng.uniform(-1, 1, (6, shape[1]))
    following, derivatives = stacked(drawn).linearised_step(x[:, None], u[:, None])
    for row, plant in enumerate(drawn):
        own = certified(plant, 2.0).plant
        np.testing.assert_allclose(following[row, 0], own.step(0.0, x[row], u[row]), rtol=1e-10, atol=1e-12)
        a, b = linearise(own, x[row], u[row])
        np.testing.assert_allclose(derivatives[row, 0], np.hstack([a, b]), rtol=1e-8, atol=1e-10)


def test_gains_are_those_of_the_riccati_recursion() -> None:
    drawn = draws((4, 2), 5)
    found = gains(problems_of(drawn), 50)
    for row, plant in enumerate(drawn):
        np.testing.assert_allclose(found[row], solve_riccati(certified(plant, 2.0)).gains[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 3), (4, 1), (4, 2)])
def test_labels_are_certified_optima(shape: tuple[int, int]) -> None:
    drawn = draws(shape, 5)
    rng = np.random.default_rng(2)
    x0 = 0.7 * rng.uniform(-1, 1, (5, shape[0])) * np.array([plant.half_width for plant in drawn])
    labels = solve(problems_of(drawn), x0, COARSE_TO_FINE)
    assert labels.solved.sum() >= 3
    for row in np.flatnonzero(labels.solved):
        optimum = TrajectoryOptimizer(certified(drawn[row], 2.0), COARSE_TO_FINE).solve(x0[row])
        assert optimum is not None
        np.testing.assert_allclose(labels.moves[row], optimum.moves, atol=5e-3)


def test_labels_keep_within_state_bounds() -> None:
    rng = np.random.default_rng(3)
    plain = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0, "g": 0.0, "e": 1.0}
    drawn = replace(
        draw_second_order(rng),
        a=np.array([[0.0, 1.0], [0.0, 0.0]]),
        b=np.array([[0.0], [1.0]]),
        products=(),
        dt_s=0.1,
        half_width=np.array([1.0, 0.3]),
        coefficients=plain,
    )
    problems = replace(problems_of([drawn]), x_bound=np.array([[np.inf, 0.35]]))
    free = solve(problems_of([drawn]), np.array([[0.9, 0.0]]), COARSE_TO_FINE)
    bounded = solve(problems, np.array([[0.9, 0.0]]), COARSE_TO_FINE)
    assert bounded.solved.all()
    assert np.abs(free.states[0, :, 1]).max() > 0.5
    assert 0.34 < np.abs(bounded.states[0, :, 1]).max() < 0.352
    problem = certified(drawn, 2.0)
    limits = np.array([WIDE, 0.35])
    plant = drawn_plant(drawn, "generic", np.full(1, 2.0), -limits, limits)
    optimum = TrajectoryOptimizer(replace(problem, plant=plant, half_width=(1.0, 0.3)), COARSE_TO_FINE).solve(
        np.array([0.9, 0.0])
    )
    assert optimum is not None
    np.testing.assert_allclose(bounded.moves[0], optimum.moves, atol=0.03)


def test_every_size_is_drawn_and_equations_name_every_state() -> None:
    rng = np.random.default_rng(4)
    found = [draw_chains(rng) for _ in range(400)]
    assert {plant.shape[0] for plant in found} == set(range(1, LARGEST_ORDER + 1))
    assert {plant.shape[1] for plant in found} == {1, 2, 3}
    for plant in found:
        assert len(set(plant.names)) == plant.shape[0]
        assert [text.partition("'")[0] for text in plant.equations()] == list(plant.names)


def test_a_copy_of_a_named_plant_is_at_no_distance_from_it() -> None:
    n = plants.get("cw_rendezvous")
    a, b = np.zeros((4, 4)), np.zeros((4, 2))
    for k, unit in enumerate(np.eye(4)):
        a[:, k] = n.derivative(0.0, tuple(unit), (0.0, 0.0), np)
    for k, unit in enumerate(np.eye(2)):
        b[:, k] = n.derivative(0.0, (0.0,) * 4, tuple(unit), np)
    drawn = replace(draws((4, 2), 1)[0], a=a, b=b, products=())
    assert families.distances(drawn) == {"cw_rendezvous": pytest.approx(0.0, abs=1e-12)}
    changed = replace(drawn, b=1.5 * b)
    assert families.distances(changed)["cw_rendezvous"] > families.EXCLUSION


@pytest.fixture(scope="module")
def rows() -> list[TextRow]:
    return next(iter(generate_corpus(3, range(1))))[0]


@pytest.fixture(scope="module")
def tokenizer():  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(builtin_path())


def test_rows_of_a_plant_follow_each_other_and_differ_in_the_state_alone(rows: list[TextRow]) -> None:
    order = [row.plant for k, row in enumerate(rows) if k == 0 or rows[k - 1].plant != row.plant]
    assert len(order) == len(set(order)) > 150
    for plant in order[:20]:
        assert len({row.prompt.rpartition(" x=")[0] for row in rows if row.plant == plant}) == 1


def test_a_packed_row_has_the_loss_that_it_has_alone(rows, tokenizer) -> None:  # type: ignore[no-untyped-def]
    kinds = TokenKinds.of(tokenizer)
    model = build_model(Architecture(), tokenizer, seed=0).double().eval()
    short = next(row for row in rows if " a=" in row.prompt)
    few = [row for row in rows if row.plant == short.plant][:3]
    packs = pack_rows(tokenizer, few)
    assert len(packs) == 1
    assert (packs[0].segments == PREFIX).sum() > 20
    with torch.no_grad():
        together = answer_loss(model, collate(packs), kinds).item()
        alone = [pack_rows(tokenizer, [row])[0] for row in few]
        losses = [answer_loss(model, collate([pack]), kinds).item() for pack in alone]
        padded = answer_loss(model, collate(alone), kinds).item()
    expected = np.average(losses, weights=[pack.answers.sum() for pack in alone])
    assert together == pytest.approx(expected, abs=1e-9)
    assert padded == pytest.approx(expected, abs=1e-9)


def test_training_continues_exactly_from_its_checkpoint(rows, tokenizer, tmp_path) -> None:  # type: ignore[no-untyped-def]
    packs, kinds = pack_rows(tokenizer, rows[:60]), TokenKinds.of(tokenizer)

    def train(steps: int, name: str) -> torch.Tensor:
        model = build_model(Architecture(num_hidden_layers=1), tokenizer, seed=0)
        pretrain(
            model, packs, packs[:1], kinds, Pretraining(steps=steps, batch_size=2), lambda _: None, tmp_path / name
        )
        return torch.cat([weight.flatten() for weight in model.parameters()]).detach()

    whole = train(4, "whole")
    train(2, "parts")
    assert torch.equal(train(4, "parts"), whole)


def test_batches_can_be_entered_anywhere(rows, tokenizer) -> None:  # type: ignore[no-untyped-def]
    packs = pack_rows(tokenizer, rows[:80])
    first, later = batches(packs, 3, seed=1), batches(packs, 3, seed=1, skip=5)
    expected = [next(first) for _ in range(7)][5:]
    for batch in expected:
        assert torch.equal(next(later).ids, batch.ids)
