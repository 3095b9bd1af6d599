"""Answers: convert controls to text, and text to controls or the reason why it cannot be parsed.

    <REASONING>…</REASONING><CONTROLS>1.00, -0.25, …</CONTROLS>

Without reasoning, an answer is the moves alone. Commas separate moves; spaces separate the components of a move.
Parsing is strict: no padding, no truncation, no guessing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.language.numbers import format_number, format_vector
from setpoint.language.prompt_format import PromptFormat
from setpoint.problems import Problem
from setpoint.trajectory import Termination

_OPEN, _CLOSE = "<CONTROLS>", "</CONTROLS>"
# Bounded lengths: `float` also accepts "nan", "inf", "1e999" and "1_0", and none of these is a control.
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{1,12})?", re.ASCII)
REASONING_LIMIT = 29.99
"""Magnitude to which numbers in a short reasoning text are clipped.

It is far beyond any bound, and numbers up to it take two tokens of the built-in tokenizer; larger ones take more.
"""


@dataclass(frozen=True)
class ParseFailure:
    """Reason why an answer could not be parsed.

    Attributes:
        termination: `PARSE_FAILURE`, `WRONG_LENGTH` or `TOKEN_LIMIT`.
        reason: one-line description.
    """

    termination: Termination
    reason: str


def compose_answer(
    problem: Problem,
    x: Float[np.ndarray, " n_x"],
    moves: Float[np.ndarray, "M n_u"],
    feedback: Float[np.ndarray, " n_u"],
    prompt_format: PromptFormat,
) -> str:
    """Compose the answer text for `moves` from state `x`; `feedback` is the control of the unconstrained LQR in `x`."""
    text = format_moves(moves, prompt_format.decimals_of(problem))
    if not prompt_format.tagged:
        return text
    reasoning = _REASONING[prompt_format.reasoning](problem, x, moves, feedback)
    return f"<REASONING>{reasoning}</REASONING>{_OPEN}{text}{_CLOSE}"


def longest_answer(problem: Problem, moves: int, prompt_format: PromptFormat) -> str:
    """Return an answer of `moves` moves that is as long as answers get: every control at its longest bound."""
    plant = problem.plant
    bounds = (plant.control_lower, plant.control_upper)
    decimals = prompt_format.decimals_of(problem)
    longest = max(bounds, key=lambda bound: sum(len(format_number(value, decimals)) for value in bound))
    extreme = np.array(problem.initial_centre) - np.array(problem.half_width)
    feedback = np.full(plant.n_u, -REASONING_LIMIT)
    return compose_answer(problem, extreme, np.tile(longest, (moves, 1)), feedback, prompt_format)


def format_moves(moves: Float[np.ndarray, "M n_u"], decimals: int) -> str:
    """Format moves separated by `, ` and components separated by a space."""
    return ", ".join(" ".join(format_number(value, decimals) for value in move) for move in moves)


def _feedback(problem: Problem, x: np.ndarray, moves: np.ndarray, feedback: np.ndarray) -> str:
    """Return the control of the unconstrained LQR in this state, as text."""
    return "feedback " + " ".join(format_number(v, 2) for v in np.clip(feedback, -REASONING_LIMIT, REASONING_LIMIT))


def _explanation(problem: Problem, x: np.ndarray, moves: np.ndarray, feedback: np.ndarray) -> str:
    """Describe distance, LQR control, saturation and first move, all computed for this state."""
    plant = problem.plant
    distance = float(np.abs((x - np.array(problem.target)) / np.array(problem.half_width)).max())
    low, high = plant.control_lower, plant.control_upper
    beyond = bool(((feedback < low) | (feedback > high)).any())
    edge = 5e-4 * (high - low)  # solvers stop just inside a bound
    limited = int(((moves <= low + edge) | (moves >= high - edge)).any(axis=-1).sum())
    regulator = format_vector(feedback, 2)
    limit = "more than the limits allow" if beyond else "within the limits"
    saturation = f"{limited} of {len(moves)} moves lie on a limit" if limited else "no move lies on a limit"
    return (
        f"The state is {distance:.2f} of the initial range from the target. A linear-quadratic regulator would apply "
        f"{regulator} now, {limit}. Planning over the whole horizon, {saturation}, and the first move is "
        f"{format_vector(moves[0], 2)}."
    )


_REASONING: dict[str, Callable[[Problem, np.ndarray, np.ndarray, np.ndarray], str]] = {
    "feedback": _feedback,
    "full": _explanation,
}


def has_moves(text: str, moves: int, *, tagged: bool) -> bool:
    """Return whether the answer that begins with `text` has `moves` complete moves: a comma or its end follows each."""
    body = text.partition(_OPEN)[2] if tagged else text
    return body.count(",") >= moves or (tagged and _CLOSE in body)


def parse_answer(
    text: str, moves: int, n_u: int, *, complete: bool = True, decimals: int = 0, tagged: bool = True
) -> Float[np.ndarray, "M n_u"] | ParseFailure:
    """Parse the moves (moves, n_u) of an answer, or return the reason why it cannot be parsed.

    With `complete=False`, `text` may be a deliberately truncated answer. Its first `moves` moves are parsed; the last
    one must show at least `decimals` decimals or be followed by a comma or the closing tag. With `tagged=False`, the
    whole text is the moves.
    """
    body, closing = text, ""
    if tagged:
        opened = text.count(_OPEN)
        if opened != 1:
            return ParseFailure(Termination.PARSE_FAILURE, f"expected one {_OPEN}, found {opened}")
        body, closing, _ = text.split(_OPEN, 1)[1].partition(_CLOSE)
        if complete and not closing:
            return ParseFailure(Termination.PARSE_FAILURE, f"{_CLOSE} is missing")
    parts = body.split(",")
    if complete and len(parts) != moves:
        return ParseFailure(Termination.WRONG_LENGTH, f"expected {moves} moves, found {len(parts)}")
    if len(parts) < moves:
        return ParseFailure(Termination.WRONG_LENGTH, f"expected at least {moves} moves, found {len(parts)}")
    # A number at the very end may lack digits: "1.2" could have become "1.25".
    cut_off = not complete and not closing and len(parts) == moves
    last_number = (parts[-1].split() or [""])[-1]
    if cut_off and len(last_number.partition(".")[2]) < decimals:
        return ParseFailure(Termination.WRONG_LENGTH, f"move {moves} is cut off: {parts[-1].strip()!r}")
    found = [part.split() for part in parts[:moves]]
    for index, move in enumerate(found):
        if len(move) != n_u or not all(_NUMBER.fullmatch(number) for number in move):
            reason = f"move {index + 1} must be {n_u} decimal number(s), but is {parts[index].strip()[:40]!r}"
            return ParseFailure(Termination.PARSE_FAILURE, reason)
    return np.array(found, dtype=float)
