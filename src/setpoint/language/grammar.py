"""The grammar of an answer as regular expressions, for constrained decoding."""

import numpy as np

from setpoint.language.answers import REASONING_LIMIT
from setpoint.language.prompt_format import PromptFormat
from setpoint.problems import Problem

_LONGEST_EXPLANATION = 400
"""Characters of a full reasoning."""


Grammar = tuple[str, ...]
"""Tags, such as `<CONTROLS>`, and between them regular expressions."""


def answer_grammar(problem: Problem, prompt_format: PromptFormat) -> Grammar:
    """Return the grammar of every answer that can be read, in the layout in which answers are taught.

    Each number has exactly the decimals of the format and at most the digits of its bounds.
    """
    plant, decimals = problem.plant, prompt_format.decimals_of(problem)
    bounds = np.array([plant.control_lower, plant.control_upper])
    move = " ".join(_number(low, high, decimals) for low, high in bounds.T.tolist())
    moves = ", ".join([move] * prompt_format.blocking.moves)
    if not prompt_format.tagged:
        return (moves,)
    if prompt_format.reasoning == "full":
        reasoning = rf"[^<\n]{{1,{_LONGEST_EXPLANATION}}}"
    else:
        reasoning = " ".join(["feedback", *[_number(-REASONING_LIMIT, REASONING_LIMIT, 2)] * plant.n_u])
    return ("<REASONING>", reasoning, "</REASONING>", "<CONTROLS>", moves, "</CONTROLS>")


def _number(low: float, high: float, decimals: int) -> str:
    """Return the pattern of a number with the digits of the larger bound, and a sign if `low` is negative."""
    more = len(f"{max(abs(low), abs(high)):.0f}") - 1
    whole = f"(0|[1-9][0-9]{{0,{more}}})" if more else "[0-9]"
    return f"{'-?' if low < 0 else ''}{whole}" + (rf"\.[0-9]{{{decimals}}}" if decimals else "")
