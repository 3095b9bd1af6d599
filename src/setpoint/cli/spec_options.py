"""The options that describe an experiment, and the specification they amount to.

Values stay text here. The specification parses and checks them, so that a bad value in a file and on the command line
gives the same message and exit code.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import words
from setpoint.errors import Findings, InputError, shown

if TYPE_CHECKING:
    from setpoint.experiments.planning.spec import ExperimentSpec

_BASE_HELP = "builtin:tiny, a folder with a model, or owner/model of the hub"

# option -> the parameter it sweeps
_AXES = {"lora_ranks": "lora_rank", "learning_rates": "learning_rate", "batch_sizes": "batch_size"}

# options with a list of words, which is the value of the field of the same name
_LISTS = ("systems", "training_types", "metrics", "model_types", "strategies", "target_systems")

# options whose value is that of the field of the same name
_PLAIN = (
    *("datasets", "dataset_name", "replicates", "evaluation", "evaluation_cases", "base_model", "expert", "seed"),
    *("zipped", "design", "configurations"),
    *("match", "source_system", "base_models", "start_from", "equal_compute_control"),
)

MATCH_HELP = "steps of a universal model: per_system (default), as many per system as a specialist; or total"


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Everything that describes an experiment."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        *("--spec", "--experiment-config"),
        dest="spec",
        type=Path,
        metavar="FILE.yaml",
        help="a specification file; options override it",
    )
    source.add_argument("--demo", action="store_true", help="a small sweep on the built-in base; minutes on a laptop")
    parser.add_argument(
        "--experiment-type",
        metavar="TYPE",
        help="hyperparameter_sweep (default), cross_system, training_ablation or transfer_learning",
    )
    parser.add_argument("--systems", "--system", type=words, metavar="A,B", help="systems, by full or short name")
    parser.add_argument(
        "--parameters",
        nargs="+",
        metavar="NAME:V,V",
        help="swept parameters, such as lora_rank:4,8 learning_rate:1e-4,2e-4; a range to sample: "
        "learning_rate:1e-5..1e-3:log",
    )
    for option, name in _AXES.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=words, metavar="V,V", help=f"sweep {name}")
    parser.add_argument(
        "--training-types", "--training-type", type=words, metavar="A,B", help="sft, grpo, both (default both)"
    )
    parser.add_argument("--datasets", type=words, metavar="A,B", help="data sets, by position with --systems")
    parser.add_argument("--dataset-name", metavar="NAME", help="one data set that holds every system")
    parser.add_argument("--metrics", type=words, metavar="A,B", help="the first is primary (default final_error)")
    parser.add_argument(
        "--zip", dest="zipped", nargs="+", type=words, metavar="A,B", help="swept parameters that vary together"
    )
    parser.add_argument("--design", metavar="HOW", help="full (default), fractional, random or sobol")
    parser.add_argument(
        "--configurations", metavar="N", help="number of sampled points; upper limit for fractional designs"
    )
    parser.add_argument(
        "--replicates", metavar="N", help="runs of each configuration, with seeds of their own (default 1)"
    )
    _add_options_of_types(parser)
    add_training_options(parser)


def _add_options_of_types(parser: argparse.ArgumentParser) -> None:
    """What only some types of experiments have."""
    types = parser.add_argument_group("of some experiment types")
    types.add_argument("--model-types", type=words, metavar="A,B", help="cross_system: specialist, universal (both)")
    types.add_argument("--match", metavar="HOW", help=f"cross_system: {MATCH_HELP}")
    types.add_argument(
        "--strategies",
        type=words,
        metavar="A,B",
        help="training_ablation: sft_only, sft_then_grpo, grpo_from_scratch (default all)",
    )
    types.add_argument(
        "--equal-compute-control",
        action="store_const",
        const=True,
        help="training_ablation: add SFT alone at the compute of SFT and GRPO together (measured first)",
    )
    types.add_argument("--source-system", metavar="A", help="transfer_learning: the system of the source models")
    types.add_argument(
        "--target-systems", type=words, metavar="A,B", help="transfer_learning: the systems they are adapted to"
    )
    types.add_argument(
        "--base-models",
        metavar="WHICH",
        help="transfer_learning: source (default), or all_available, which adds every finished adapter of the source",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What an experiment and a single run have in common."""
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=V", help="parameters for every run, such as grpo.temperature=0.8"
    )
    parser.add_argument(
        "--evaluation",
        metavar="KIND",
        help="standard (default); replanning: also replan at every step; comprehensive: both, and again with tight "
        "bounds, held-out parameters, noise and mismatch",
    )
    parser.add_argument("--evaluation-cases", metavar="N", help="initial states to evaluate on")
    parser.add_argument("--base-model", metavar="BASE", help=_BASE_HELP)
    parser.add_argument("--expert", metavar="EXPERT", help="source of the demonstrations: optimal (default) or detuned")
    parser.add_argument("--seed", metavar="N", help="seed of the first replicate (default 0)")


def spec_from(arguments: argparse.Namespace) -> "ExperimentSpec":
    """The specification that the options amount to.

    Raises:
        InputError: everything that is wrong with it.
    """
    from setpoint import plants
    from setpoint.experiments.planning.canonical import checked_spec
    from setpoint.experiments.planning.parameters import parse_ranges, parse_tokens
    from setpoint.experiments.planning.spec import read_spec_file

    findings = Findings()
    fields: dict[str, Any] = {}
    if arguments.demo:
        fields = read_spec_file(demo_file())
    elif arguments.spec is not None:
        fields = read_spec_file(arguments.spec)
    if arguments.experiment_type is not None:
        fields["type"] = arguments.experiment_type
    fields |= {name: value for name in _LISTS if (value := getattr(arguments, name)) is not None}
    axes: dict[str, list[str]] = {}
    tokens = arguments.parameters or []
    with findings.check():
        axes = parse_tokens([token for token in tokens if ".." not in token])
    ranges: dict[str, dict[str, str]] = {}
    with findings.check():
        ranges = parse_ranges([token for token in tokens if ".." in token])
    for option, name in _AXES.items():
        if getattr(arguments, option) is not None:
            if name in axes:
                words = f"--parameters and by --{option.replace('_', '-')}"
                findings.errors.append(InputError(f"{name!r} is swept by {words}. Use one of them."))
            axes[name] = getattr(arguments, option)
    with findings.check():
        asked = training_fields(arguments)
        fields |= _over_the_file(fields, {"parameters": axes, "ranges": ranges, "fixed": asked.pop("fixed", {})})
        fields |= asked
    if not fields.get("systems") and fields.get("type") != "transfer_learning":
        missing = "an experiment needs at least one system. Name it with --systems; `setpoint systems` lists them."
        findings.errors.append(InputError(missing))
        # Any system will do to check the rest.
        fields = {**fields, "systems": plants.names()[:1], "datasets": ()}
    with findings.check():
        spec = checked_spec(fields)
    findings.settle()
    return spec


def training_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The fields set by `add_training_options`, and other single words."""
    fields = {name: value for name in _PLAIN if (value := getattr(arguments, name, None)) is not None}
    if arguments.set:
        fields["fixed"] = assignments(arguments.set)
    return fields


def _over_the_file(fields: Mapping[str, Any], asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The tables of parameters of a file, where those that the command line names have only what it says of them.

    A parameter that it sweeps is swept, and no longer drawn from a range or fixed; one that it fixes is not swept.

    Raises:
        InputError: a parameter that does not exist.
    """
    from setpoint.experiments.planning.parameters import find, is_parameter

    places = {place for table in asked.values() for name in table for place in find(name).places}
    found: dict[str, Any] = {}
    for table, own in asked.items():
        given = fields.get(table)
        if isinstance(given, Mapping):  # another kind of thing is refused where the specification is checked
            kept = {k: v for k, v in given.items() if not (is_parameter(str(k)) and places >= set(find(str(k)).places))}
            found[table] = {**kept, **own}
        elif own:
            found[table] = dict(own)
    return found


def assignments(texts: list[str]) -> dict[str, str]:
    """`name=value` texts as a table.

    Raises:
        InputError: a text without a name or a value, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"expected name=value, got {shown(text)}. Write for example lora_rank=8.")
        if name in found:
            raise InputError(f"parameter {shown(name)} is set twice. Set it once.")
        found[name] = value
    return found


def demo_file() -> Path:
    """The specification of the demonstration, shipped with the package."""
    from importlib.resources import files

    return Path(str(files("setpoint.experiments"))) / "demo.yaml"
