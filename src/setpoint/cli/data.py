"""`setpoint data generate|list|show`: datasets of optimal trajectories."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import add_json, add_workspace, count, print_json, words, workspace_of
from setpoint.cli.progress import say
from setpoint.errors import InputError, unknown_name
from setpoint.plain_text import unescaped

if TYPE_CHECKING:
    from setpoint.demonstrations import DatasetInfo, Rows

_SPLITS = ("train", "validation", "test")
_PROGRESS_EVERY_S = 10.0
"""Interval between progress lines in a log."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint data`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, help_line: str, action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        added.set_defaults(call=action)
        add_workspace(added)
        add_json(added)
        return added

    generate = add("generate", "generate a dataset of optimal trajectories (reuses an existing one)", _generate)
    generate.add_argument("--systems", "--system", type=words, metavar="A,B", help="systems, by full or short name")
    generate.add_argument("--dataset-name", metavar="NAME", help="name of the dataset (default: that of its systems)")
    generate.add_argument(
        "--total-samples", type=int, metavar="N", help="rows over all systems (default: 2000 per system)"
    )
    generate.add_argument(
        "--split-ratio", type=float, default=0.9, metavar="R", help="fraction of rows for training (default 0.9)"
    )
    generate.add_argument(
        "--expert", default="optimal", metavar="E", help="optimal (default), or detuned (deliberately suboptimal)"
    )
    generate.add_argument("--workers", type=int, metavar="N", help="processes (default: one per 500 rows)")
    generate.add_argument("--list-datasets", action="store_true", help="list the datasets and exit")

    add("list", "list the datasets of the workspace", _list)

    show = add("show", "show rows with the prompts and answers that a model sees", _show)
    show.add_argument("name", metavar="NAME", help="name of the dataset")
    show.add_argument("--system", metavar="SYSTEM", help="system of the rows (default: the first of the dataset)")
    show.add_argument("--split", default="train", metavar="SPLIT", help="train (default), validation or test")
    show.add_argument("--rows", type=count, default=3, metavar="N", help="number of rows (default 3)")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    action: Callable[[argparse.Namespace], int] = arguments.call
    return action(arguments)


def _generate(arguments: argparse.Namespace) -> int:
    from setpoint.demonstrations import DEFAULT_ROWS, Recipe, canonical_systems, create

    if arguments.list_datasets:
        return _list(arguments)
    if arguments.systems is None:
        raise InputError("a dataset needs systems. Name them with --systems; `setpoint systems` lists them.")
    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers must be at least 1, got {arguments.workers}.")
    systems = canonical_systems(arguments.systems)
    rows = DEFAULT_ROWS * len(systems) if arguments.total_samples is None else arguments.total_samples
    recipe = Recipe(systems, rows, arguments.split_ratio, expert=arguments.expert)
    info = create(
        workspace_of(arguments),
        arguments.dataset_name,
        recipe,
        workers=arguments.workers,
        progress=_progress(),
    )
    _print([info], as_json=arguments.json)
    return 0


def _progress(clock_s: Callable[[], float] = time.monotonic) -> Callable[[int, int], None]:
    """Report progress on stderr: one updating line on a terminal, elsewhere a line every few seconds."""
    last_s = clock_s()

    def report(done: int, total: int) -> None:
        nonlocal last_s
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{done} of {total} rows", end=end, file=unescaped(sys.stderr), flush=True)
        elif done == total:
            print(f"{total} rows solved and certified", file=sys.stderr)
        elif clock_s() - last_s >= _PROGRESS_EVERY_S:
            last_s = clock_s()
            print(f"{done} of {total} rows", file=sys.stderr, flush=True)

    return report


def _list(arguments: argparse.Namespace) -> int:
    from setpoint.demonstrations import list_datasets

    workspace = workspace_of(arguments)
    found = list_datasets(workspace, lambda error: print(f"setpoint: {error}", file=sys.stderr))
    if not found and not arguments.json:
        print(f"no datasets in {str(workspace.datasets)!r}. Create one with `setpoint data generate`.", file=sys.stderr)
    _print(found, as_json=arguments.json)
    return 0


def _print(found: "list[DatasetInfo]", *, as_json: bool) -> None:
    from setpoint.demonstrations import damage_text

    records = [_record(info) for info in found]
    if as_json:
        print_json(records)
        return
    for info, record in zip(found, records, strict=True):
        damage = damage_text(info)
        rows = " + ".join(f"{sum(record['rows'][split].values())} {split}" for split in _SPLITS)
        rejected = max(record["rejection_rate"].values())
        print(
            f"{record['name']}: {', '.join(record['systems'])}; {record['expert']} expert; {rows} rows of "
            f"{record['moves']} moves; {rejected:.1%} of draws rejected; digest {record['digest']}"
            f"{f'; DAMAGED: {damage}' if damage else ''}"
        )


def _record(info: "DatasetInfo") -> dict[str, Any]:
    from setpoint.demonstrations import damaged_files

    return {
        "name": info.name,
        "path": str(info.path),
        "systems": list(info.systems),
        "expert": info.expert,
        "moves": info.blocking.moves,
        "rows": info.rows,
        "total_rows": info.total_rows,
        "rejection_rate": info.rejection_rate,
        "certificate": info.certificate,
        "damaged": damaged_files(info),
        "digest": info.digest,
    }


def _show(arguments: argparse.Namespace) -> int:
    from setpoint import plants
    from setpoint.demonstrations import changed_problems, load_rows, open_dataset, verify_files

    if arguments.split not in _SPLITS:
        raise unknown_name("split", arguments.split, _SPLITS)
    info = open_dataset(workspace_of(arguments), arguments.name)
    verify_files(info)
    system = info.systems[0] if arguments.system is None else plants.canonical(arguments.system)
    if changes := changed_problems(info):
        say(
            f"warning: {info.name} was generated for earlier problem definitions ({'; '.join(changes)}); the prompts "
            "below use the current ones"
        )
    shown = list(_texts(info, system, load_rows(info, arguments.split, system), arguments.rows))
    if arguments.json:
        print_json(shown)
        return 0
    _print([info], as_json=False)
    for row in shown:
        print(f"\n# row {row['row_id']}, {row['kind']}, cost {row['cost']:.4f}, optimal cost {row['optimal_cost']:.4f}")
        print(f"prompt: {row['prompt']}")
        print(f"answer: {row['answer']}")
    return 0


def _texts(info: "DatasetInfo", system: str, rows: "Rows", wanted: int) -> Iterator[dict[str, Any]]:
    """Yield the first rows with the prompts and answers of the built-in base."""
    from setpoint import problems
    from setpoint.language import PromptFormat, compose_answer, messages

    problem, prompt_format = problems.get(system), PromptFormat(blocking=info.blocking)
    for index in range(min(wanted, len(rows))):
        state = rows.states[index]
        yield {
            "row_id": int(rows.row_ids[index]),
            "trajectory_id": int(rows.trajectory_ids[index]),
            "kind": rows.kinds[index],
            "state": state.tolist(),
            "cost": float(rows.costs[index]),
            "optimal_cost": float(rows.optimal_costs[index]),
            "prompt": messages(problem, state.tolist(), prompt_format)[-1]["content"],
            "answer": compose_answer(problem, state, rows.moves[index], rows.feedback[index], prompt_format),
        }
