"""Numbers to text and back: what is written can be read, and what cannot be read is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint import problems, systems
from setpoint.language import Dialect, ParseFailure, compose_answer, format_moves, format_number, messages, parse_answer
from setpoint.problems import COARSE_TO_FINE, MoveBlocking
from setpoint.trajectory import Termination

ENGLISH = Dialect(template="english", blocking=MoveBlocking.none(50), control_decimals=3)


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
    too_short = parse_answer(begun, 3, 1, complete=False, decimals=2)
    assert isinstance(too_short, ParseFailure)
    assert too_short.termination is Termination.WRONG_LENGTH


@pytest.mark.parametrize("dialect", [Dialect(), ENGLISH], ids=lambda dialect: dialect.template)
@pytest.mark.parametrize("name", systems.names())
def test_composed_answers_can_be_read(name: str, dialect: Dialect) -> None:
    problem = problems.get(name)
    moves = np.linspace(-1, 1, dialect.blocking.moves)[:, None]
    text = compose_answer(problem, np.array([0.1, -0.2]), moves, np.array([1e6]), dialect)
    assert parse_answer(text, dialect.blocking.moves, 1) == pytest.approx(moves, abs=0.0051)


@pytest.mark.parametrize("dialect", [Dialect(), ENGLISH], ids=lambda dialect: dialect.template)
@pytest.mark.parametrize("name", systems.names())
def test_prompts_carry_the_problem_and_differ_in_the_state_alone(name: str, dialect: Dialect) -> None:
    problem = problems.get(name)
    one, other = (messages(problem, state, dialect) for state in ([0.1234, -0.5], [0.1235, -0.5]))
    assert one[:-1] == other[:-1]
    assert "0.1234" in one[-1]["content"]
    assert one[-1]["content"].replace("0.1234", "0.1235") == other[-1]["content"]
    everything = " ".join(message["content"] for message in one)
    assert str(problem.steps) in everything
    assert all(f"{abs(value):g}" in everything for value in problem.plant.coefficients.values())


def test_a_dialect_survives_its_definition() -> None:
    for dialect in (Dialect(), ENGLISH):
        assert Dialect.from_definition(dialect.definition()) == dialect


def test_blocks_expand_average_and_cover() -> None:
    moves = np.arange(10.0)[:, None]
    controls = COARSE_TO_FINE.expand(moves)
    assert controls.shape == (50, 1)
    assert COARSE_TO_FINE.average(controls) == pytest.approx(moves)
    assert [COARSE_TO_FINE.moves_covering(steps) for steps in (1, 2, 3, 4, 5, 6, 50)] == [1, 2, 3, 3, 4, 4, 10]
    assert COARSE_TO_FINE.expand(moves[:3]).shape == (4, 1)
