"""Build chat messages from a problem and a state: equations with numbers, bounds, horizon, cost and state."""

from collections.abc import Callable, Iterable, Sequence

from setpoint.errors import InputError
from setpoint.language.numbers import format_number, format_shortest, format_vector
from setpoint.language.prompt_format import PromptFormat
from setpoint.plants import TERMS, Plant, Signal
from setpoint.problems import Problem

Message = dict[str, str]

_USUAL_TERMINAL_WEIGHT = 10.0
"""Terminal weight of every plant in the pretraining corpus of the built-in base; omitted from short prompts."""
_SMALLEST_COEFFICIENT = 0.01


def messages(problem: Problem, x: Sequence[float], prompt_format: PromptFormat) -> list[Message]:
    """Return the chat messages that request controls from state `x` (n_x,)."""
    found = _TEMPLATES[prompt_format.template](problem, x, prompt_format)
    if prompt_format.system_role == "system" or len(found) == 1:
        return found
    return [{"role": "user", "content": "\n\n".join(message["content"] for message in found)}]


def _short(problem: Problem, x: Sequence[float], prompt_format: PromptFormat) -> list[Message]:
    return [{"role": "user", "content": short_prompt(problem, x, prompt_format)}]


def short_prompt(
    problem: Problem, x: Sequence[float], prompt_format: PromptFormat, plant_name: str | None = None
) -> str:
    """Return one line of `key=value` pairs, with the state last so that all prompts of a plant share a prefix.

    Plants of the second-order family print its coefficients (`c` and `d` are cubic terms, see
    `setpoint.plants.second_order`; missing terms are zero), others their equations. Defaults of the pretraining corpus
    are omitted: symmetric bounds, target at the origin, terminal weight 10.
    """
    plant = problem.plant
    return " ".join(
        (
            f"plant={plant_name or plant.name}",
            *_dynamics(plant),
            f"dt={format_shortest(plant.dt_s, 2)}",
            f"N={problem.steps}",
            *_short_bounds("u", plant.controls, scalar=plant.n_u == 1),
            *_short_bounds("x", plant.states, scalar=False),
            f"q={_shortest(problem.q, 0)}",
            f"r={format_shortest(problem.r[0], 1) if plant.n_u == 1 else _shortest(problem.r, 1)}",
            *_departures(problem),
            f"x={format_vector(x, prompt_format.state_decimals)}",
        )
    )


def _dynamics(plant: Plant) -> list[str]:
    if not plant.coefficients:
        return [f"eq=[{'; '.join(plant.equations)}]"]
    return [f"{term}={_coefficient(value)}" for term, value in _terms(plant).items()]


def _coefficient(value: float) -> str:
    """Format with two decimals, as in the pretraining corpus; with more if two would round to almost nothing."""
    return format_number(value, 2) if abs(value) >= _SMALLEST_COEFFICIENT else format_shortest(value, 2)


def _short_bounds(letter: str, signals: Sequence[Signal], *, scalar: bool) -> list[str]:
    """Return `umax=…`, preceded by `umin=…` if a bound is not symmetric."""
    sides = {f"{letter}max": [signal.upper for signal in signals]}
    if any(signal.lower != -signal.upper for signal in signals):
        sides = {f"{letter}min": [signal.lower for signal in signals], **sides}
    return [
        f"{key}={format_shortest(values[0], 1) if scalar else _shortest(values, 1)}" for key, values in sides.items()
    ]


def _departures(problem: Problem) -> list[str]:
    """Return the settings that differ from the pretraining corpus of the built-in base."""
    found = []
    if problem.terminal_weight != _USUAL_TERMINAL_WEIGHT:
        found.append(f"qT={format_shortest(problem.terminal_weight, 0)}")
    if any(problem.target):
        found.append(f"goal={_shortest(problem.target, 1)}")
    return found


def _shortest(values: Iterable[float], at_least: int) -> str:
    return f"[{', '.join(format_shortest(value, at_least) for value in values)}]"


def _terms(plant: Plant) -> dict[str, float]:
    unknown = sorted(set(plant.coefficients) - set(TERMS))
    if unknown:
        raise InputError(
            f"{plant.name}: coefficients must be among {', '.join(TERMS)}, got {', '.join(unknown)}. Leave "
            "`coefficients` empty for a plant of another form; prompts then print its `equations`."
        )
    return {term: plant.coefficients.get(term, 0.0) for term in TERMS}


def _english(problem: Problem, x: Sequence[float], prompt_format: PromptFormat) -> list[Message]:
    return [
        {"role": "system", "content": _english_task(problem, prompt_format)},
        {"role": "user", "content": _english_state(problem, x, prompt_format)},
    ]


def _english_task(problem: Problem, prompt_format: PromptFormat) -> str:
    plant, blocking = problem.plant, prompt_format.blocking
    states = ", ".join(signal.name for signal in plant.states)
    weights = _shortest(problem.q, 2), _shortest(problem.r, 2)
    count = f"exactly {blocking.moves} moves"
    if not prompt_format.covers(problem.steps):
        count += f" for the first {blocking.steps} steps"
    held = ", ".join(str(length) for length in blocking.lengths)
    every = blocking.moves == blocking.steps
    moves = f"{count}, one per time step" if every else f"{count}, held for {held} time steps in turn"
    inputs = "one number" if plant.n_u == 1 else f"{plant.n_u} numbers separated by a space"
    return "\n".join(
        (
            "You are an expert in optimal control. Find the control moves that drive a dynamical system from its "
            "present state to the target at the lowest cost.",
            f"System: {plant.title}. State x: {states}. " + " ".join(_describe_bounds(plant.states)),
            f"Dynamics: {'; '.join(plant.equations)}.",
            " ".join(_describe_bounds(plant.controls)),
            f"The horizon is {problem.steps} time steps of {plant.dt_s:g} s ({problem.horizon_s:g} s in all).",
            f"Target: {_shortest(problem.target, 2)}. Cost: the sum over all steps of e'Qe + u'Ru with Q = "
            f"diag{weights[0]}, R = diag{weights[1]}, plus {problem.terminal_weight:g} e'Qe at the end, where e is the "
            "distance from the target.",
            _english_answer(prompt_format, f"{moves}, each move {inputs} with {prompt_format.decimals_of(problem)}"),
        )
    )


def _english_answer(prompt_format: PromptFormat, moves: str) -> str:
    """Describe the answer; `moves` says how many moves, up to the number of decimals."""
    if not prompt_format.tagged:
        return f"Reply with {moves} decimals, separated by commas, and with nothing else."
    before = {
        "feedback": "Write the control of a linear-quadratic regulator",
        "full": "Explain briefly",
    }[prompt_format.reasoning]
    return (
        f"{before} between <REASONING> and </REASONING>. Then give {moves} decimals, separated by commas, between "
        "<CONTROLS> and </CONTROLS>."
    )


def _describe_bounds(signals: Sequence[Signal]) -> list[str]:
    return [f"Keep {s.name} between {s.lower:g} and {s.upper:g} {s.unit}." for s in signals]


def _english_state(problem: Problem, x: Sequence[float], prompt_format: PromptFormat) -> str:
    named = ", ".join(
        f"{signal.name} = {format_number(value, prompt_format.state_decimals)} {signal.unit}"
        for signal, value in zip(problem.plant.states, x, strict=True)
    )
    return f"Present state: {named}. Give the control moves."


def _state(problem: Problem, x: Sequence[float], prompt_format: PromptFormat) -> list[Message]:
    """Return the name of the system and its state; what the system does is left to training."""
    state = ", ".join(format_number(value, prompt_format.state_decimals) for value in x)
    return [
        {"role": "system", "content": f"You control: {problem.plant.title}. Reply with the control moves."},
        {"role": "user", "content": f"x = {state}"},
    ]


_TEMPLATES: dict[str, Callable[[Problem, Sequence[float], PromptFormat], list[Message]]] = {
    "short": _short,
    "english": _english,
    "state": _state,
}
