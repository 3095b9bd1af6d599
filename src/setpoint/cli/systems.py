"""`setpoint systems [NAME]`: which systems there are, and the data sheet of one."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import add_json, print_json

if TYPE_CHECKING:
    from setpoint.problems import Problem


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint systems`."""
    parser.add_argument("name", nargs="?", metavar="SYSTEM", help="show the data sheet of this system")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the list, or one data sheet."""
    from setpoint import problems, systems

    if arguments.name is not None:
        problem = problems.get(arguments.name)
        if arguments.json:
            print_json(_record(problem))
        else:
            print("\n".join(_data_sheet(problem)))
        return 0
    known = [problems.get(name) for name in systems.names()]
    if arguments.json:
        print_json([_record(problem) for problem in known])
    else:
        for problem in known:
            print(
                f"{problem.name:<20} {problem.plant.short_name:<6} {problem.plant.title}; judged in {_track(problem)}"
            )
    return 0


def _record(problem: "Problem") -> dict[str, Any]:
    plant = problem.plant
    return {
        **problem.definition(),
        "short_name": plant.short_name,
        "title": plant.title,
        "source": plant.source,
        "equations": list(plant.equations),
        "states": [_signal(signal) for signal in plant.states],
        "controls": [_signal(signal) for signal in plant.controls],
        "horizon_s": problem.horizon_s,
        "judged": problem.judged,
        "open_loop": problem.open_loop,
    }


def _signal(signal: Any) -> dict[str, Any]:
    return {"name": signal.name, "unit": signal.unit, "lower": signal.lower, "upper": signal.upper}


def _data_sheet(problem: "Problem") -> Iterator[str]:
    plant = problem.plant
    yield f"{plant.name} (short: {plant.short_name}): {plant.title}"
    yield f"source: {plant.source}"
    yield ""
    yield from (f"    {equation}" for equation in plant.equations)
    yield ""
    yield f"{'signal':<20} {'unit':<8} {'lower':>8} {'upper':>8} {'target':>8} {'initial':>16} {'weight':>8}"
    goals = zip(plant.states, problem.target, problem.half_width, problem.q, strict=True)
    for state, target, width, weight in goals:
        initial = f"{target - width:g} … {target + width:g}"
        yield f"{_bounds(state)} {target:>8g} {initial:>16} {weight:>8g}"
    for control, weight in zip(plant.controls, problem.r, strict=True):
        yield f"{_bounds(control)} {'':>8} {'':>16} {weight:>8g}"
    yield ""
    yield (
        f"cost: sum over {problem.steps} steps of e'Qe + u'Ru, plus {problem.terminal_weight:g} e'Qe at the end; "
        "e is the distance from the target, the weights are the diagonals of Q and R"
    )
    yield f"horizon: {problem.steps} steps of {plant.dt_s:g} s ({problem.horizon_s:g} s), Runge–Kutta of order 4"
    yield f"judged in: {_track(problem)}"


def _bounds(signal: Any) -> str:
    return f"{signal.name:<20} {signal.unit:<8} {signal.lower:>8g} {signal.upper:>8g}"


def _track(problem: "Problem") -> str:
    if problem.judged == "open_loop":
        return "open loop; closed loop is shown too"
    return "closed loop" + ("; open loop is shown too" if problem.open_loop else " only")
