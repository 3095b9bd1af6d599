"""Options that describe an experiment, and the specification built from them.

Values stay text here: the specification parses and checks them, so that a bad value gives the same message and exit
code in a file and on the command line.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import file_path, words
from setpoint.errors import Findings, InputError, shown

if TYPE_CHECKING:
    from setpoint.experiments.planning.spec import ExperimentSpec

_BASE_HELP = "base model: builtin:tiny, a model folder, or owner/model on the Hugging Face Hub"

# option -> the parameter it sweeps
_AXES = {"lora_ranks": "lora_rank", "learning_rates": "learning_rate", "batch_sizes": "batch_size"}

# options with a list of words, which is the value of the field of the same name
_LISTS = ("systems", "training_types", "metrics", "model_types", "strategies", "target_systems", "trend")

# options whose value is that of the field of the same name
_PLAIN = (
    *("datasets", "dataset_name", "replicates", "evaluation", "evaluation_cases", "base_model", "expert", "seed"),
    *("zipped", "design", "configurations", "equivalence"),
    *("match", "source_system", "base_models", "start_from", "equal_compute_control"),
)

MATCH_HELP = "training steps of a universal model: per_system (default; as many per system as a specialist) or total"


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe an experiment."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        *("--spec", "--experiment-config"),
        dest="spec",
        type=file_path,
        metavar="FILE.yaml",
        help="specification file; options override it",
    )
    source.add_argument("--demo", action="store_true", help="small sweep on the built-in base (minutes on a laptop)")
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
        help="swept parameters, such as lora_rank:4,8 learning_rate:1e-4,2e-4; ranges to sample: "
        "learning_rate:1e-5..1e-3:log",
    )
    _add_search_options(parser)
    for option, name in _AXES.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=words, metavar="V,V", help=f"sweep {name}")
    parser.add_argument(
        "--training-types",
        "--training-type",
        type=words,
        metavar="A,B",
        help="sft, grpo, both, dagger, dagger_grpo (default both)",
    )
    parser.add_argument("--datasets", type=words, metavar="A,B", help="datasets, in the order of --systems")
    parser.add_argument("--dataset-name", metavar="NAME", help="one dataset with all systems")
    parser.add_argument(
        "--metrics", type=words, metavar="A,B", help="metrics, the primary one first (default final_error)"
    )
    parser.add_argument(
        "--zip", dest="zipped", nargs="+", type=words, metavar="A,B", help="swept parameters that vary together"
    )
    parser.add_argument("--design", metavar="HOW", help="full (default), fractional, random or sobol")
    parser.add_argument(
        "--configurations", metavar="N", help="number of sampled points; upper limit for fractional designs"
    )
    parser.add_argument("--replicates", metavar="N", help="runs per configuration, each with its own seed (default 1)")
    add_test_options(parser, "parameters")
    _add_options_of_types(parser)
    add_training_options(parser)


def add_test_options(parser: argparse.ArgumentParser, factors: str) -> None:
    """Add the options that choose which tests are made; `factors` is what the verb calls them."""
    parser.add_argument(
        "--trend",
        type=words,
        metavar="A,B",
        help=f"numeric {factors} to test for a linear and a curved trend instead of for any difference of their levels",
    )
    parser.add_argument(
        "--equivalence",
        metavar="X",
        help="test for equivalence: X is the largest difference that does not matter, such as 5%% (log scale) or 0.02 "
        "(linear)",
    )


def _add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a search."""
    parser.add_argument(
        "--search",
        metavar="SAMPLER",
        help="search the swept values with tpe, gp or random, in place of running all combinations",
    )
    parser.add_argument("--trials", metavar="N", help="configurations that a search runs")
    parser.add_argument(
        "--batch", metavar="N", help="trials of a search that are proposed together and run in parallel (default 4)"
    )
    parser.add_argument(
        "--confirm",
        nargs="+",
        metavar=("top:K", "seeds:N"),
        help="end a search by running its best K trials with N new seeds, as top:3 seeds:5: only these scores are free "
        "of selection bias",
    )


def search_fields(arguments: argparse.Namespace, earlier: Any) -> dict[str, Any]:
    """Return the field `search` that the options describe, over that of a file; empty without options.

    Raises:
        InputError: an option without --search, or --confirm in another form.
    """
    given = {"sampler": arguments.search, "trials": arguments.trials, "batch": arguments.batch}
    given = {name: value for name, value in given.items() if value is not None}
    for text in arguments.confirm or ():
        name, _, number = text.partition(":")
        if name not in {"top", "seeds"} or not number.isdecimal():
            raise InputError(f"--confirm expects top:K seeds:N, got {shown(text)}. Write it like top:3 seeds:5.")
        given[f"confirm_{name}"] = number
    if "confirm_seeds" in given:
        given.setdefault("confirm_top", 3)
    if not given:
        return {}
    before = dict(earlier) if isinstance(earlier, Mapping) else {}
    if "sampler" not in {**before, **given}:
        raise InputError("--trials, --batch and --confirm belong to a search. Add --search tpe, or remove them.")
    return {"search": {**before, **given}}


def _add_options_of_types(parser: argparse.ArgumentParser) -> None:
    """Add the options of single experiment types."""
    types = parser.add_argument_group("type-specific options")
    types.add_argument("--model-types", type=words, metavar="A,B", help="cross_system: specialist, universal (both)")
    types.add_argument("--match", metavar="HOW", help=f"cross_system: {MATCH_HELP}")
    types.add_argument(
        "--strategies",
        type=words,
        metavar="A,B",
        help="training_ablation: sft_only, sft_then_grpo, grpo_from_scratch, sft_then_dagger, dagger_then_grpo",
    )
    types.add_argument(
        "--equal-compute-control",
        action="store_const",
        const=True,
        help="training_ablation: add SFT only, with the compute of every longer strategy (measured first)",
    )
    types.add_argument("--source-system", metavar="A", help="transfer_learning: the system of the source models")
    types.add_argument(
        "--target-systems", type=words, metavar="A,B", help="transfer_learning: the systems they are adapted to"
    )
    types.add_argument(
        "--base-models",
        metavar="WHICH",
        help="transfer_learning: source (default), or all_available: also every finished adapter of the source",
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options shared by experiments and single runs."""
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=V", help="parameter values for every run, such as grpo.temperature=0.8"
    )
    parser.add_argument(
        "--evaluation",
        metavar="KIND",
        help="standard (default); replanning: also replan at every step; comprehensive: replanning, also with tight "
        "bounds, held-out parameters, noise and mismatch",
    )
    parser.add_argument("--evaluation-cases", metavar="N", help="number of initial states to evaluate on")
    parser.add_argument("--base-model", metavar="BASE", help=_BASE_HELP)
    parser.add_argument("--expert", metavar="EXPERT", help="source of the demonstrations: optimal (default) or detuned")
    parser.add_argument("--seed", metavar="N", help="seed of the first replicate (default 0)")


def spec_from(arguments: argparse.Namespace) -> "ExperimentSpec":
    """Return the specification that the options describe.

    Raises:
        InputError: with one line for each mistake.
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
        given = training_fields(arguments)
        fields |= _merged_tables(fields, {"parameters": axes, "ranges": ranges, "fixed": given.pop("fixed", {})})
        fields |= given
    with findings.check():
        fields |= search_fields(arguments, fields.get("search"))
    if not fields.get("systems") and fields.get("type") != "transfer_learning":
        missing = "an experiment needs at least one system. Name it with --systems; `setpoint systems` lists them."
        findings.errors.append(InputError(missing))
        # Check the other fields with an arbitrary system.
        fields = {**fields, "systems": plants.names()[:1], "datasets": ()}
    with findings.check():
        spec = checked_spec(fields)
    findings.settle()
    return spec


def training_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the fields set by `add_training_options` and by other options with a single value."""
    fields = {name: value for name in _PLAIN if (value := getattr(arguments, name, None)) is not None}
    if arguments.set:
        fields["fixed"] = assignments(arguments.set)
    return fields


def _merged_tables(fields: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the parameter tables of a file with those of the command line, which take precedence.

    A parameter swept on the command line is no longer sampled or fixed by the file; one fixed there is no longer swept.

    Raises:
        InputError: a parameter that does not exist.
    """
    from setpoint.experiments.planning.parameters import find, is_parameter, replaced

    set_here = [find(name) for table in given.values() for name in table]
    found: dict[str, Any] = {}
    for table, ours in given.items():
        file = fields.get(table)
        if isinstance(file, Mapping):  # other values are rejected when the specification is checked
            kept = {k: v for k, v in file.items() if not (is_parameter(str(k)) and replaced(find(str(k)), set_here))}
            found[table] = {**kept, **ours}
        elif ours:
            found[table] = dict(ours)
    return found


def assignments(texts: list[str]) -> dict[str, str]:
    """Parse `name=value` texts into a table.

    Raises:
        InputError: a text without a name or a value, or a name given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"expected name=value, got {shown(text)}. Write it like lora_rank=8.")
        if name in found:
            raise InputError(f"parameter {shown(name)} is set twice. Set it once.")
        found[name] = value
    return found


def demo_file() -> Path:
    """Return the path of the demo specification, which is shipped with the package."""
    from importlib.resources import files

    return Path(str(files("setpoint.experiments"))) / "demo.yaml"
