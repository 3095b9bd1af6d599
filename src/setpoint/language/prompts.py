"""From a problem and a state to chat messages that carry the equation with its numbers, bounds, horizon and state."""

from collections.abc import Callable, Mapping, Sequence

from setpoint.language.dialect import Dialect
from setpoint.language.numbers import format_number, format_vector
from setpoint.problems import Problem
from setpoint.systems import TERMS, Signal

Message = dict[str, str]


def messages(problem: Problem, x: Sequence[float], dialect: Dialect) -> list[Message]:
    """The chat messages that ask for controls from state `x` (n_x,)."""
    return _TEMPLATES[dialect.template](problem, x, dialect)


def _short(problem: Problem, x: Sequence[float], dialect: Dialect) -> list[Message]:
    return [{"role": "user", "content": short_prompt(problem, x, dialect)}]


def short_prompt(problem: Problem, x: Sequence[float], dialect: Dialect, plant_name: str | None = None) -> str:
    """One line of `key=value`; the state comes last, so that all prompts of a plant share their beginning.

    `c` and `d` are cubic terms, see `setpoint.systems.second_order`; terms a plant does not have are zero.
    """
    plant = problem.plant
    terms = _terms(plant.coefficients)
    return " ".join(
        (
            f"plant={plant_name or plant.name}",
            *(f"{term}={format_number(value, 2)}" for term, value in terms.items()),
            f"dt={format_number(plant.dt_s, 2)}",
            f"N={problem.steps}",
            f"umax={format_number(plant.controls[0].upper, 1)}",
            f"xmax={format_vector((signal.upper for signal in plant.states), 1)}",
            f"q={format_vector(problem.q, 0)}",
            f"r={format_number(problem.r[0], 1)}",
            f"x={format_vector(x, dialect.state_decimals)}",
        )
    )


def _terms(coefficients: Mapping[str, float]) -> dict[str, float]:
    return {term: coefficients.get(term, 0.0) for term in TERMS}


def _english(problem: Problem, x: Sequence[float], dialect: Dialect) -> list[Message]:
    return [
        {"role": "system", "content": _english_task(problem, dialect)},
        {"role": "user", "content": _english_state(problem, x, dialect)},
    ]


def _english_task(problem: Problem, dialect: Dialect) -> str:
    plant, blocking = problem.plant, dialect.blocking
    states = ", ".join(signal.name for signal in plant.states)
    weights = format_vector(problem.q, 2), format_vector(problem.r, 2)
    if blocking.moves == blocking.steps:
        moves = f"exactly {blocking.moves} moves, one per time step"
    else:
        held = ", ".join(str(length) for length in blocking.lengths)
        moves = f"exactly {blocking.moves} moves, held for {held} time steps in turn"
    inputs = "one number" if plant.n_u == 1 else f"{plant.n_u} numbers separated by a space"
    return "\n".join(
        (
            "You are an expert in optimal control. Find the control moves that drive a dynamical system from its "
            "present state to the target at the lowest cost.",
            f"System: {plant.title}. State x: {states}. " + " ".join(_describe_bounds(plant.states)),
            f"Dynamics: {'; '.join(plant.equations)}.",
            " ".join(_describe_bounds(plant.controls)),
            f"The horizon is {problem.steps} time steps of {plant.dt_s:g} s ({problem.horizon_s:g} s in all).",
            f"Target: {format_vector(problem.target, 2)}. Cost: the sum over all steps of e'Qe + u'Ru with Q = diag"
            f"{weights[0]}, R = diag{weights[1]}, plus {problem.terminal_weight:g} e'Qe at the end, where e is the "
            "distance from the target.",
            f"Explain briefly between <REASONING> and </REASONING>. Then give {moves}, each move {inputs} with "
            f"{dialect.control_decimals} decimals, separated by commas, between <CONTROLS> and </CONTROLS>.",
        )
    )


def _describe_bounds(signals: Sequence[Signal]) -> list[str]:
    return [f"Keep {s.name} between {s.lower:g} and {s.upper:g} {s.unit}." for s in signals]


def _english_state(problem: Problem, x: Sequence[float], dialect: Dialect) -> str:
    named = ", ".join(
        f"{signal.name} = {format_number(value, dialect.state_decimals)} {signal.unit}"
        for signal, value in zip(problem.plant.states, x, strict=True)
    )
    return f"Present state: {named}. Give the control moves."


_TEMPLATES: dict[str, Callable[[Problem, Sequence[float], Dialect], list[Message]]] = {
    "short": _short,
    "english": _english,
}
