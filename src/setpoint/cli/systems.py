"""`setpoint systems [NAME]`: the list of systems, or the data sheet or plot of one."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import add_json, file_path, print_json
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.problems import Problem


_FORMATS = (".png", ".pdf", ".svg")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint systems`."""
    parser.add_argument("name", nargs="?", metavar="SYSTEM", help="show the data sheet of this system")
    parser.add_argument(
        "--plot",
        nargs="?",
        const=Path(),
        type=file_path,
        metavar="FILE",
        help="plot phase portrait, optimal trajectories and bounds (default: SYSTEM.png)",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the list or one data sheet, or save a plot."""
    from setpoint import plants, problems

    if arguments.name is not None:
        problem = problems.get(arguments.name)
        if arguments.plot is not None:
            path = _plot(problem, arguments.plot)
            if arguments.json:
                print_json({"system": problem.name, "plot": str(path)})
            else:
                print(path)
        elif arguments.json:
            print_json(_record(problem))
        else:
            print("\n".join(data_sheet(problem)))
        return 0
    if arguments.plot is not None:
        raise InputError("--plot needs the name of a system: `setpoint systems NAME --plot`.")
    known = [problems.get(name) for name in plants.names()]
    if arguments.json:
        print_json([_record(problem) for problem in known])
    else:
        print("\n".join(_table(known)))
    for name, reason in plants.plugins().broken.items():
        print(f"{name}: broken plug-in, skipped ({reason})", file=sys.stderr)
    return 0


def _table(known: "Sequence[Problem]") -> Iterator[str]:
    """Yield one aligned line per system, at most 80 characters long."""
    from setpoint.api.stability import stability

    rows = [("system", "short", "n_x", "n_u", "linear", "stable", "primary mode")]
    rows += [
        (
            problem.name,
            problem.plant.short_name,
            str(problem.plant.n_x),
            str(problem.plant.n_u),
            "yes" if problem.plant.linear else "no",
            stability(problem),
            problem.evaluation_mode.replace("_", " ") + ("" if problem.open_loop else " only"),
        )
        for problem in known
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield "stable: without control, near the target (linearised). Data sheet: setpoint systems NAME"


def _plot(problem: "Problem", file: Path) -> Path:
    """Plot a few optimal trajectories, and return the path of the image."""
    path = _image_path(problem, file)
    from setpoint.api.control import plot_system

    try:
        plot_system(problem, path)
    except OSError as error:
        raise InputError(f"--plot must name a writable file, got {str(path)!r}: {error}.") from error
    return path


def _image_path(problem: "Problem", file: Path) -> Path:
    """Return the path of the image: SYSTEM.png in `file` if that is a folder, else `file`.

    Raises:
        InputError: the suffix is not a supported image format.
    """
    if file.is_dir():
        return file / f"{problem.name}.png"
    if file.suffix not in _FORMATS:
        raise InputError(f"--plot must name a folder or a file ending in {', '.join(_FORMATS)}, got {str(file)!r}.")
    return file


def _record(problem: "Problem") -> dict[str, Any]:
    from setpoint.api.stability import stability

    plant = problem.plant
    return {
        **problem.definition(),
        "short_name": plant.short_name,
        "title": plant.title,
        "source": plant.source,
        "equations": list(plant.equations),
        "states": [_signal(signal) for signal in plant.states],
        "controls": [_signal(signal) for signal in plant.controls],
        "family": {name: asdict(interval) for name, interval in plant.family.items()},
        "optimum": problem.optimum_label,
        "horizon_s": problem.horizon_s,
        "evaluation_mode": problem.evaluation_mode,
        "open_loop": problem.open_loop,
        "n_x": plant.n_x,
        "n_u": plant.n_u,
        "linear": plant.linear,
        "stable": stability(problem),
    }


def _signal(signal: Any) -> dict[str, Any]:
    return {"name": signal.name, "unit": signal.unit, "lower": signal.lower, "upper": signal.upper}


def data_sheet(problem: "Problem") -> Iterator[str]:
    """Yield the lines of a system's data sheet."""
    plant = problem.plant
    yield f"{plant.name} (short: {plant.short_name}): {plant.title}"
    yield f"source: {plant.source}"
    yield ""
    yield from (f"    {equation}" for equation in plant.equations)
    yield ""
    yield f"{'signal':<20} {'unit':<8} {'lower':>8} {'upper':>8} {'target':>8} {'initial':>16} {'weight':>8}"
    goals = zip(plant.states, problem.target, problem.initial_centre, problem.half_width, problem.q, strict=True)
    for state, target, centre, width, weight in goals:
        initial = f"{centre - width:g} … {centre + width:g}"
        yield f"{_bounds(state)} {target:>8g} {initial:>16} {weight:>8g}"
    for control, weight in zip(plant.controls, problem.r, strict=True):
        yield f"{_bounds(control)} {'':>8} {'':>16} {weight:>8g}"
    yield ""
    yield (
        f"cost: sum over {problem.steps} steps of e'Qe + u'Ru, plus {problem.terminal_weight:g} e'Qe at the end; "
        "e is the deviation from the target, the weights are the diagonals of Q and R"
    )
    horizon = f"{problem.steps} steps of {plant.dt_s:g} s ({problem.horizon_s:g} s)"
    yield f"horizon: {horizon}, fourth-order Runge–Kutta{_substeps(plant.substeps)}"
    for name, interval in plant.family.items():
        yield (
            f"family: {name} = {plant.parameters[name]:g}, range {interval.low:g} … {interval.high:g}; held out of "
            f"training: {interval.held_low:g} … {interval.held_high:g}"
        )
    if problem.optimum_label == "best known":
        yield f"optimum: best known of {problem.starts} starts (there are local optima)"
    yield f"primary evaluation mode: {_mode_text(problem)}"


def _substeps(count: int) -> str:
    return "" if count == 1 else f" in {count} sub-steps"


def _bounds(signal: Any) -> str:
    return f"{signal.name:<20} {signal.unit:<8} {signal.lower:>8g} {signal.upper:>8g}"


def _mode_text(problem: "Problem") -> str:
    if problem.evaluation_mode == "open_loop":
        return "open loop (closed loop also shown)"
    return "closed loop" + (" (open loop also shown)" if problem.open_loop else " only")
