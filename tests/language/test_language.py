"""Numbers to text and back: what is written can be read, and what cannot be read is named."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint import plants, problems
from setpoint.errors import InputError
from setpoint.language import (
    ParseFailure,
    PromptFormat,
    compose_answer,
    format_moves,
    format_number,
    has_moves,
    longest_answer,
    messages,
    parse_answer,
)
from setpoint.plants import SecondOrder
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.trajectory import Termination

ENGLISH = PromptFormat("english", MoveBlocking.none(50), control_decimals=3, reasoning="full")


def wrapped(body: str) -> str:
    return f"<REASONING>because</REASONING><CONTROLS>{body}</CONTROLS>"


@given(
    st.integers(1, 12).flatmap(
        lambda n_moves: st.integers(1, 3).flatmap(
            lambda n_u: st.lists(
                st.lists(st.floats(-999, 999), min_size=n_u, max_size=n_u), min_size=n_moves, max_size=n_moves
            )
        )
    ),
    st.integers(0, 6),
)
def test_moves_survive_the_way_to_text_and_back(moves: list[list[float]], decimals: int) -> None:
    array = np.array(moves)
    found = parse_answer(wrapped(format_moves(array, decimals)), *array.shape)
    assert isinstance(found, np.ndarray)
    assert found == pytest.approx(array, abs=0.500001 * 10.0**-decimals)


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    for candidate in (text, wrapped(text)):
        for complete in (True, False):
            found = parse_answer(candidate, 3, 1, complete=complete, decimals=2)
            assert isinstance(found, ParseFailure) or (found.shape == (3, 1) and np.isfinite(found).all())


def test_zero_has_no_sign() -> None:
    assert format_number(-0.001, 2) == "0.00"
    assert format_number(-0.006, 2) == "-0.01"


@pytest.mark.parametrize(
    ("text", "termination"),
    [
        ("", Termination.PARSE_FAILURE),
        ("1.0, 2.0, 3.0", Termination.PARSE_FAILURE),
        ("<CONTROLS>1.0, 2.0, 3.0", Termination.PARSE_FAILURE),
        ("<CONTROLS>1, 2, 3</CONTROLS><CONTROLS>1, 2, 3</CONTROLS>", Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0"), Termination.WRONG_LENGTH),
        (wrapped("1.0, 2.0, 3.0, 4.0"), Termination.WRONG_LENGTH),
        (wrapped("1.0, 2.0, x"), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, nan"), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, inf"), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, 1e9"), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, 3.0 4.0"), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, "), Termination.PARSE_FAILURE),
        (wrapped("1.0, 2.0, ٣"), Termination.PARSE_FAILURE),
    ],
)
def test_what_cannot_be_read_is_named(text: str, termination: Termination) -> None:
    found = parse_answer(text, 3, 1)
    assert isinstance(found, ParseFailure)
    assert found.termination is termination
    assert found.reason


def test_the_beginning_of_an_answer_can_be_read() -> None:
    begun = "<REASONING>r</REASONING><CONTROLS>1.00, -2.50"
    assert parse_answer(begun, 2, 1, complete=False, decimals=2) == pytest.approx(np.array([[1.0], [-2.5]]))
    assert parse_answer(f"{begun},", 2, 1, complete=False, decimals=3) == pytest.approx(np.array([[1.0], [-2.5]]))
    cut_off = parse_answer(begun, 2, 1, complete=False, decimals=3)
    assert isinstance(cut_off, ParseFailure)
    assert cut_off.termination is Termination.WRONG_LENGTH
    for text, n_u in ((begun.replace("-2.50", "-1"), 1), ("<CONTROLS>1.00 2.00, 1.25 -12", 2)):
        in_a_number = parse_answer(text, 2, n_u, complete=False, decimals=2)
        assert isinstance(in_a_number, ParseFailure)
        assert in_a_number.termination is Termination.WRONG_LENGTH
    too_short = parse_answer(begun, 3, 1, complete=False, decimals=2)
    assert isinstance(too_short, ParseFailure)
    assert too_short.termination is Termination.WRONG_LENGTH


@pytest.mark.parametrize("prompt_format", [PromptFormat(), ENGLISH], ids=lambda prompt_format: prompt_format.template)
@pytest.mark.parametrize("name", plants.names())
def test_composed_answers_can_be_read(name: str, prompt_format: PromptFormat) -> None:
    problem = problems.get(name)
    n_u = problem.plant.n_u
    moves = np.linspace(-1, 1, prompt_format.blocking.moves * n_u).reshape(-1, n_u)
    text = compose_answer(problem, np.full(problem.plant.n_x, 0.1), moves, np.full(n_u, 1e6), prompt_format)
    assert parse_answer(text, prompt_format.blocking.moves, n_u) == pytest.approx(moves, abs=0.0051)


@pytest.mark.parametrize(
    ("feedback", "move", "says"),
    [
        (-4.0, -1.0, "more than the limits allow. Planning over the whole horizon, 50 of 50 moves lie on a limit"),
        (8.0, 2.0, "within the limits. Planning over the whole horizon, no move lies on a limit"),
    ],
)
def test_the_reasoning_knows_bounds_that_are_smaller_on_one_side(feedback: float, move: float, says: str) -> None:
    problem = problems.get("double_integrator")
    controls = (replace(problem.plant.controls[0], lower=-1.0, upper=9.0),)
    own = type("Own", (type(problem.plant),), {"controls": controls})
    moves = np.full((50, 1), move)
    text = compose_answer(replace(problem, plant=own()), np.zeros(2), moves, np.array([feedback]), ENGLISH)
    assert says in text


@pytest.mark.parametrize("prompt_format", [PromptFormat(), ENGLISH], ids=lambda prompt_format: prompt_format.template)
@pytest.mark.parametrize("name", plants.names())
def test_prompts_carry_the_problem_and_differ_in_the_state_alone(name: str, prompt_format: PromptFormat) -> None:
    problem = problems.get(name)
    rest = [-0.5] * (problem.plant.n_x - 1)
    one, other = (messages(problem, [first, *rest], prompt_format) for first in (0.1234, 0.1235))
    assert one[:-1] == other[:-1]
    assert "0.1234" in one[-1]["content"]
    assert one[-1]["content"].replace("0.1234", "0.1235") == other[-1]["content"]
    everything = " ".join(message["content"] for message in one)
    assert str(problem.steps) in everything
    assert all(f"{abs(value):g}" in everything for value in problem.plant.coefficients.values())
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", everything)]
    signals = (*problem.plant.states, *problem.plant.controls)
    for bound in {abs(value) for signal in signals for value in (signal.lower, signal.upper)}:
        assert any(number == pytest.approx(bound, rel=1e-4) for number in numbers)


@pytest.mark.parametrize("prompt_format", [PromptFormat(), ENGLISH], ids=lambda prompt_format: prompt_format.template)
def test_small_numbers_do_not_vanish_from_prompts(prompt_format: PromptFormat) -> None:
    plant = SecondOrder(a=-0.0031, d=0.00012345, dt_s=0.1)
    problem = replace(problems.get("double_integrator"), plant=plant, r=(0.00025,), q=(0.004, 10.0))
    text = " ".join(message["content"] for message in messages(problem, [0.5, 0.5], prompt_format))
    for number in ("-0.0031", "0.00012345" if prompt_format is ENGLISH else "0.0001234", "0.00025", "0.004"):
        assert number in text


@pytest.mark.parametrize(("value", "text"), [(1.23456, "1.23"), (-0.0151, "-0.02"), (0.0042, "0.0042"), (0.0, "0.00")])
def test_coefficients_have_the_two_decimals_that_the_built_in_base_can_read(value: float, text: str) -> None:
    problem = replace(problems.get("double_integrator"), plant=SecondOrder(a=value, e=1.0, dt_s=0.1))
    assert f" a={text} " in messages(problem, [0.5, 0.5], PromptFormat())[0]["content"]


def test_coefficients_outside_of_the_family_are_refused() -> None:
    own = type("Own", (SecondOrder,), {"coefficients": {"a": 1.0, "drag": 2.0}})
    problem = replace(problems.get("double_integrator"), plant=own())
    with pytest.raises(InputError, match="coefficients must be among a, b, c, d, g, e, got drag"):
        messages(problem, [0.5, 0.5], PromptFormat())


def test_the_short_prompt_that_the_built_in_base_learned_never_changes() -> None:
    prompts = [
        messages(problems.get(name), state, PromptFormat())
        for name, state in (("di", [0.5, -0.25]), ("vdp", [-1.2345, 0.0]), ("pend", [0.1, -0.3999]))
    ]
    assert prompts == [
        [{"role": "user", "content": text}]
        for text in (
            "plant=double_integrator a=0.00 b=0.00 c=0.00 d=0.00 g=0.00 e=1.00 dt=0.10 N=50 umax=3.0 xmax=[1.0, 1.0] "
            "q=[10, 10] r=0.1 x=[0.5000, -0.2500]",
            "plant=van_der_pol a=-1.00 b=1.00 c=0.00 d=-1.00 g=0.00 e=1.00 dt=0.10 N=50 umax=5.0 xmax=[2.0, 2.0] "
            "q=[10, 10] r=0.1 x=[-1.2345, 0.0000]",
            "plant=pendulum a=0.00 b=-0.10 c=0.00 d=0.00 g=9.81 e=1.00 dt=0.05 N=50 umax=6.0 xmax=[0.7, 2.0] "
            "q=[10, 1] r=0.1 x=[0.1000, -0.3999]",
        )
    ]


def test_the_short_prompt_says_what_departs_from_what_the_base_learned() -> None:
    raised = messages(problems.get("orbit"), [1.0, 0.0, 1.0], PromptFormat())[0]["content"]
    for part in (
        "eq=[r' = v; v' = w^2/r - 1/r^2 + u1; w' = -v*w/r + u2] ",
        "umax=[0.08, 0.08] xmin=[0.5, -0.5, 0.5] xmax=[1.5, 0.5, 1.5] ",
        "r=[1.0, 1.0] qT=100 goal=[1.1, 0.0, 0.9535] x=[1.0000, 0.0000, 1.0000]",
    ):
        assert part in raised
    tight = messages(problems.get("di_tight"), [0.0, 0.0], PromptFormat())[0]["content"]
    assert "umax=1.0 xmax=[1.0, 0.35] q=[10, 1] r=0.1 x=" in tight


def test_a_dialect_survives_its_definition() -> None:
    for prompt_format in (PromptFormat(), ENGLISH):
        assert PromptFormat.from_definition(prompt_format.definition()) == prompt_format


def test_blocks_expand_average_and_cover() -> None:
    moves = np.arange(10.0)[:, None]
    controls = COARSE_TO_FINE.expand(moves)
    assert controls.shape == (50, 1)
    assert COARSE_TO_FINE.average(controls) == pytest.approx(moves)
    assert [COARSE_TO_FINE.moves_covering(steps) for steps in (1, 2, 3, 4, 5, 6, 50)] == [1, 2, 3, 3, 4, 4, 10]
    assert COARSE_TO_FINE.expand(moves[:3]).shape == (4, 1)


STATE = PromptFormat("state", MoveBlocking(COARSE_TO_FINE.lengths[:4]), reasoning="none", state_decimals=3)


def test_the_state_template_names_the_system_and_gives_the_state() -> None:
    task, state = messages(problems.get("pendulum"), [0.0625, -1.0], STATE)
    assert task == {
        "role": "system",
        "content": "You control: pendulum, stabilised upright. Reply with the control moves.",
    }
    assert state == {"role": "user", "content": "x = 0.062, -1.000"}


@pytest.mark.parametrize("prompt_format", [STATE, ENGLISH], ids=lambda prompt_format: prompt_format.template)
def test_the_task_can_be_folded_into_the_message_of_the_user(prompt_format: PromptFormat) -> None:
    problem = problems.get("pendulum")
    task, state = messages(problem, [0.1, 0.2], prompt_format)
    (folded,) = messages(problem, [0.1, 0.2], replace(prompt_format, system_role="folded"))
    assert folded == {"role": "user", "content": f"{task['content']}\n\n{state['content']}"}


def test_a_bare_answer_is_the_moves_alone() -> None:
    problem = problems.get("double_integrator")
    moves = np.array([[1.0], [-0.25], [0.004], [3.0]])
    text = compose_answer(problem, np.zeros(2), moves, np.zeros(1), STATE)
    assert text == "1.00, -0.25, 0.00, 3.00"
    assert parse_answer(text, 4, 1, tagged=False) == pytest.approx(moves, abs=0.0051)
    for wrong in (
        "",
        "Moves: 1.00, -0.25, 0.00, 3.00",
        "1.00, -0.25, 0.00",
        f"<CONTROLS>{text}</CONTROLS>",
        f"{text},",
    ):
        assert isinstance(parse_answer(wrong, 4, 1, tagged=False), ParseFailure), wrong


@pytest.mark.parametrize(
    ("text", "complete"),
    [("1.00, -0.25", False), ("1.00, -0.25,", True), ("<CONTROLS>1.00, 2.00,", True), ("1, 2, 3", True)],
)
def test_moves_are_complete_once_a_comma_follows(text: str, complete: bool) -> None:
    assert has_moves(text, 2, tagged=text.startswith("<")) == complete


@pytest.mark.parametrize("name", plants.names())
def test_no_answer_is_longer_than_the_longest(name: str) -> None:
    problem = problems.get(name)
    plant, n_u = problem.plant, problem.plant.n_u
    for prompt_format in (PromptFormat(), STATE):
        count = prompt_format.blocking.moves
        longest = longest_answer(problem, count, prompt_format)
        for bound in (plant.control_lower, plant.control_upper):
            moves = np.tile(bound, (count, 1))
            text = compose_answer(problem, np.zeros(plant.n_x), moves, np.full(n_u, -1e3), prompt_format)
            assert len(text) <= len(longest)


def test_the_english_task_asks_for_the_answer_that_is_expected() -> None:
    problem = problems.get("double_integrator")
    bare = replace(ENGLISH, reasoning="none", blocking=STATE.blocking)
    task = messages(problem, [0.0, 0.0], bare)[0]["content"]
    assert task.endswith(
        "Reply with exactly 4 moves for the first 6 steps, held for 1, 1, 2, 2 time steps in turn, each move one "
        "number with 3 decimals, separated by commas, and with nothing else."
    )
    feedback = messages(problem, [0.0, 0.0], replace(ENGLISH, reasoning="feedback"))[0]["content"]
    assert "Write the control of a linear-quadratic regulator between <REASONING>" in feedback
