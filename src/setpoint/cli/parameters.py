"""`setpoint parameters`: every training parameter with its values, default and meaning."""

import argparse
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, print_json

if TYPE_CHECKING:
    from setpoint.experiments.planning.catalogue import ParameterEntry

_WIDTH = 79


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this parameter, or this group, such as grpo")
    parser.add_argument(
        "--base-model", default="builtin:tiny", metavar="BASE", help="base model whose defaults to show"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the parameters with the defaults of the base model."""
    from setpoint.experiments.planning.catalogue import parameter_catalogue
    from setpoint.policies import resolve_base

    preset = resolve_base(arguments.base_model).preset
    chosen = _chosen(parameter_catalogue(preset), arguments.name)
    if arguments.json:
        print_json([entry.to_json() for entry in chosen])
        return 0
    print(
        f"Defaults of the preset {preset.name!r}. Sweep with --parameters NAME:V,V; set for all runs with --set NAME=V."
    )
    for group, entries in groupby(chosen, lambda entry: entry.group):
        print(f"\n{group}")
        print("\n".join(line for entry in entries for line in _lines(entry)))
    return 0


def _chosen(entries: "list[ParameterEntry]", name: str | None) -> "list[ParameterEntry]":
    """Return the entries of one parameter, by any of its names, or of one group."""
    from setpoint.experiments.planning.parameters import MODELS, find

    if name is None:
        return entries
    if name in MODELS:
        return [entry for entry in entries if entry.group == name]
    places = {f"{group}.{field}" for group, field in find(name).places}
    return [entry for entry in entries if entry.name.replace("lora_", "lora.", 1) in places]


def _lines(entry: "ParameterEntry") -> Iterator[str]:
    default = "none" if entry.default is None else entry.default
    yield f"  {entry.name}  {entry.accepts}  (default: {default})"
    yield from textwrap.wrap(entry.meaning, _WIDTH, initial_indent="      ", subsequent_indent="      ")
