"""The reward ranks answers as the cost does, whatever text comes in."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint import plants, problems
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.language import PromptFormat, format_moves
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.rewards import LOWEST_COST_REWARD, UNREADABLE_REWARD, VIOLATION_PENALTY, RewardRule
from setpoint.simulation import simulate

TOLERANCE = 3e-3
CASES = 8
EVERY_STEP = PromptFormat(blocking=MoveBlocking.none(50), control_decimals=6)
BLOCKED = PromptFormat(blocking=COARSE_TO_FINE, control_decimals=6)
TAIL_ERROR = 5e-4
"""How well the quadratic tail knows the true cost to go near the optimum, relative to J*."""
SYSTEMS = plants.names()


def rule(horizon: int, prompt_format: PromptFormat = EVERY_STEP, *, cut_off: bool = False) -> RewardRule:
    return RewardRule(prompt_format, horizon, TOLERANCE, cut_off)


def answer(moves: np.ndarray, decimals: int = 6) -> str:
    return f"<REASONING>because</REASONING><CONTROLS>{format_moves(moves, decimals)}</CONTROLS>"


@cache
def optima(system: str, blocking: MoveBlocking) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States (B, n_x), optimal moves (B, M, n_u) and the costs of the unblocked optimum (B,)."""
    problem = problems.get(system)
    x0 = problem.initial_states(CASES, "test_rewards")
    optimizer, free = TrajectoryOptimizer(problem, blocking), TrajectoryOptimizer(problem)
    solved = [(optimizer.solve(x), free.solve(x)) for x in x0]
    moves = np.array([blocked.moves for blocked, _ in solved if blocked is not None])
    costs = np.array([best.cost for _, best in solved if best is not None])
    return x0, moves, costs


def alternatives(system: str, blocking: MoveBlocking, *, count: int = 30) -> np.ndarray:
    """Other answers to the same states: the optimum disturbed, scaled, and nothing at all, (count, B, M, n_u)."""
    plant = problems.get(system).plant
    _, moves, _ = optima(system, blocking)
    random = np.random.default_rng(0)
    sizes = np.geomspace(1e-3, 0.3, count - 4)[:, None, None, None] * plant.control_upper
    disturbed = moves + sizes * random.standard_normal((count - 4, *moves.shape))
    scaled = np.stack([factor * moves for factor in (0.0, 0.5, 0.9, 1.05)])
    return np.clip(np.concatenate([disturbed, scaled]), plant.control_lower, plant.control_upper)


def score_all(the_rule: RewardRule, system: str, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rewards and violations of one answer per state."""
    x0, _, costs = optima(system, the_rule.prompt_format.blocking)
    scores = the_rule.score([answer(m) for m in moves], [system] * len(x0), x0.tolist(), costs.tolist())
    assert scores.readable.all()
    return scores.reward, scores.violation


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    ("horizon", "prompt_format"), [(0, EVERY_STEP), (0, BLOCKED), (5, EVERY_STEP), (25, EVERY_STEP)]
)
def test_the_optimum_is_at_least_any_feasible_answer(system: str, horizon: int, prompt_format: PromptFormat) -> None:
    if horizon and problems.get(system).starts > 1:
        pytest.skip("the cost to go of the linearisation says nothing where there are local optima")
    the_rule = rule(horizon, prompt_format)
    best, violated = score_all(the_rule, system, optima(system, prompt_format.blocking)[1])
    assert not violated.any()
    slack = np.log1p(TAIL_ERROR / TOLERANCE) if horizon else 1e-4
    for moves in alternatives(system, prompt_format.blocking):
        reward, violated = score_all(the_rule, system, moves)
        assert (best[violated == 0] >= reward[violated == 0] - slack).all()


@pytest.mark.parametrize("system", SYSTEMS)
def test_feasible_answers_keep_the_order_of_their_costs(system: str) -> None:
    problem = problems.get(system)
    x0, best, _ = optima(system, COARSE_TO_FINE)
    answers = [*alternatives(system, COARSE_TO_FINE), best]
    controls = [COARSE_TO_FINE.expand(np.round(moves, 6)) for moves in answers]
    trajectories = [simulate(problem.plant, x0, u) for u in controls]
    costs = np.array([problem.cost(trajectory.states, trajectory.controls) for trajectory in trajectories])
    rewards, violated = zip(*(score_all(rule(0, BLOCKED), system, moves) for moves in answers), strict=True)
    for case in range(CASES):
        feasible = np.array(violated)[:, case] == 0
        by_cost = np.argsort(costs[feasible, case])
        assert (np.diff(np.array(rewards)[feasible, case][by_cost]) <= 1e-12).all()


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("horizon", [0, 5])
def test_what_cannot_be_read_ranks_last(system: str, horizon: int) -> None:
    x0, moves, costs = optima(system, EVERY_STEP.blocking)
    worst_readable = answer(np.full_like(moves[0], 999_999_999.0))
    numbers = format_moves(moves[0], 6).split(", ")
    unreadable = [
        "",
        "no controls",
        "<CONTROLS></CONTROLS>",
        f"<CONTROLS>{', '.join(numbers[:49])}</CONTROLS>",
        f"<CONTROLS>{', '.join([*numbers, '0.0'])}</CONTROLS>",
        f"<CONTROLS>{', '.join(['nan', *numbers[1:]])}</CONTROLS>",
        f"<CONTROLS>{', '.join(['1e9', *numbers[1:]])}</CONTROLS>",
        f"<CONTROLS>{', '.join(numbers)}",
    ]
    texts = [worst_readable, *unreadable]
    count = len(texts)
    scores = rule(horizon).score(texts, [system] * count, [x0[0].tolist()] * count, [costs[0]] * count)
    assert scores.readable.tolist() == [True, *[False] * len(unreadable)]
    assert (scores.reward[1:] == UNREADABLE_REWARD).all()
    assert scores.reward[0] > UNREADABLE_REWARD


def test_a_batch_scores_like_its_rows_one_by_one() -> None:
    texts, names, states, costs = [], [], [], []
    for place in range(4):
        for system in SYSTEMS:
            x0, moves, optimal = optima(system, EVERY_STEP.blocking)
            texts.append(answer(moves[place]) if place else "unreadable")
            names.append(system)
            states.append(x0[place].tolist())
            costs.append(float(optimal[place]))
    for horizon in (0, 5):
        batch = rule(horizon).score(texts, names, states, costs)
        for index, row in enumerate(zip(texts, names, states, costs, strict=True)):
            alone = rule(horizon).score(*([value] for value in row))
            for part in ("reward", "cost", "log_error", "violation", "readable"):
                np.testing.assert_array_equal(getattr(alone, part)[0], getattr(batch, part)[index])


@pytest.mark.parametrize(
    "system", [name for name in SYSTEMS if "tight" in name or name in {"cw_rendezvous", "attitude_mrp"}]
)
@pytest.mark.parametrize("horizon", [0, 5])
def test_leaving_the_bounds_does_not_pay(system: str, horizon: int) -> None:
    best, violated = score_all(rule(horizon, BLOCKED), system, optima(system, COARSE_TO_FINE)[1])
    assert not violated.any()
    seen = 0
    for moves in alternatives(system, COARSE_TO_FINE):
        reward, violated = score_all(rule(horizon, BLOCKED), system, moves)
        assert (reward[violated == 1] < best[violated == 1]).all()
        seen += int(violated.sum())
    assert seen > 0 or horizon


@pytest.mark.parametrize("system", ["duffing", "detumble", "linear_oscillator"])
def test_bad_beginnings_score_less_where_controls_saturate(system: str) -> None:
    best, _ = score_all(rule(5), system, optima(system, EVERY_STEP.blocking)[1])
    nothing, _ = score_all(rule(5), system, np.zeros_like(optima(system, EVERY_STEP.blocking)[1]))
    assert (best > nothing).all()


def test_a_command_beyond_its_bound_costs_the_penalty_and_counts_as_saturated() -> None:
    problem = problems.get("double_integrator")
    upper = float(problem.plant.control_upper[0])
    at_bound, beyond = np.zeros((50, 1)), np.zeros((50, 1))
    at_bound[0], beyond[0] = upper, 1.1 * upper
    states = [[0.1, 0.0]] * 2
    scores = rule(5).score([answer(at_bound), answer(beyond)], ["double_integrator"] * 2, states, [1.0, 1.0])
    assert scores.violation.tolist() == [0.0, 1.0]
    assert scores.cost[0] == scores.cost[1]
    assert scores.reward[0] - scores.reward[1] > VIOLATION_PENALTY


def test_what_comes_after_the_scored_steps_does_not_count() -> None:
    x0, moves, costs = optima("van_der_pol", EVERY_STEP.blocking)
    changed = moves[0].copy()
    changed[5:] = 99.0
    scores = rule(5).score(
        [answer(moves[0]), answer(changed)], ["van_der_pol"] * 2, [x0[0].tolist()] * 2, [float(costs[0])] * 2
    )
    assert scores.reward[0] == scores.reward[1]


def test_an_answer_that_was_cut_off_scores_like_the_whole_one() -> None:
    x0, moves, costs = optima("van_der_pol", COARSE_TO_FINE)
    whole = answer(moves[0])
    needed = COARSE_TO_FINE.moves_covering(5)
    prefix = ", ".join(whole.partition("</CONTROLS>")[0].split(", ")[:needed])
    row = (["van_der_pol"], [x0[0].tolist()], [float(costs[0])])
    cut = rule(5, BLOCKED, cut_off=True).score([prefix], *row)
    assert cut.reward[0] == rule(5, BLOCKED).score([whole], *row).reward[0]
    assert not rule(5, BLOCKED, cut_off=True).score([prefix[:-1]], *row).readable[0]


def test_a_start_at_the_target_has_a_finite_reward() -> None:
    scores = rule(0).score(
        [answer(np.zeros((50, 1))), answer(np.ones((50, 1)))], ["pendulum"] * 2, [[0.0, 0.0]] * 2, [0, 0]
    )
    assert scores.reward[0] == pytest.approx(-np.log(TOLERANCE))
    assert LOWEST_COST_REWARD - VIOLATION_PENALTY <= scores.reward[1] < scores.reward[0]


ODD_NUMBERS = st.sampled_from(
    ["nan", "inf", "-inf", "1e9", "999999999.9", "-999999999", "", "0.5", "-2.99", "+1", "1.2.3"]
)
ODD_ANSWERS = st.lists(ODD_NUMBERS, max_size=60).map(lambda parts: f"<CONTROLS>{', '.join(parts)}</CONTROLS>")


@given(text=st.text() | ODD_ANSWERS, system=st.sampled_from(SYSTEMS), horizon=st.sampled_from([0, 1, 5]))
@settings(max_examples=150, deadline=None)
def test_any_text_has_a_finite_reward_between_the_clamps(text: str, system: str, horizon: int) -> None:
    reward = rule(horizon).score([text], [system], [[0.3, -0.2]], [1.0]).reward[0]
    assert UNREADABLE_REWARD <= reward <= -np.log(TOLERANCE)
