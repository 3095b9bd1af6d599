"""What a user asks for: one frozen, strict description of an experiment, from the command line or a YAML file."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from setpoint import plants
from setpoint.errors import InputError, collect, unknown_name
from setpoint.problems import MOST_CASES
from setpoint.records.failure import RETRYABLE
from setpoint.records.plan import Plan, Value

TrainingType = Literal["sft", "grpo", "both"]
ModelType = Literal["specialist", "universal"]
Strategy = Literal["sft_only", "sft_then_grpo", "grpo_from_scratch"]
Evaluation = Literal["standard", "replanning", "comprehensive"]
Design = Literal["full", "fractional", "random", "sobol"]
LARGEST_SEED = 2**32 - 1
_KINDS_OF_VALUES = frozenset({"bool", "int", "float", "str"})
TRAINING_TYPE = "training_type"
"""What a condition may name besides parameters."""

STRATEGIES: dict[Strategy, TrainingType] = {"sft_only": "sft", "sft_then_grpo": "both", "grpo_from_scratch": "grpo"}
"""Strategy of an ablation -> its training type."""

# field -> the experiment types that read it
_FIELDS_OF_TYPES = {
    "model_types": ("cross_system",),
    "match": ("cross_system", "single"),
    "strategies": ("training_ablation",),
    "equal_compute_control": ("training_ablation",),
    "source_system": ("transfer_learning",),
    "target_systems": ("transfer_learning",),
    "base_models": ("transfer_learning",),
    "start_from": ("single",),
    "only": ("hyperparameter_sweep",),
    "confirms": ("hyperparameter_sweep",),
}

# metric -> the scale on which its effects are multiplicative ("log") or additive ("linear")
METRICS: dict[str, Literal["log", "linear"]] = {
    "final_error": "log",
    "normalised_error": "log",
    "control_cost": "log",
    "regret_median": "log",
    "regret_p90": "log",
    "success_rate": "linear",
    "parse_rate": "linear",
    "training_time": "log",
    "gpu_hours": "log",
    "cpu_core_hours": "log",
    "peak_memory_gb": "log",
    "tokens": "log",
}


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | int | float) else value


def _as_groups(value: Any) -> Any:
    """One group of names may be written without its own brackets."""
    one = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
    return (tuple(value),) if one else value


def plain_number(value: Any) -> Any:
    """`value` itself, unless Python would make a number of it that nobody wrote: 1 of `true`, 16 of `1_6`.

    Raises:
        ValueError: see above.
    """
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        raise ValueError("a number is asked for")
    return value


Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], BeforeValidator(_as_tuple)]
"""One or more items; a single one may be written without brackets."""
Whole = Annotated[int, BeforeValidator(plain_number)]
Number = Annotated[float, BeforeValidator(plain_number)]

_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_FINDINGS = frozenset({"greater_than_equal", "greater_than", "less_than_equal", "less_than"})


def remedy(finding: Mapping[str, Any], metadata: Iterable[object] = ()) -> str:
    """A sentence, with a space before it, for a validator's `finding` about a bound; nothing for any other.

    Args:
        metadata: of the field; without it, only the bound that was broken is known.
    """
    if finding["type"] not in _FINDINGS:
        return ""
    known = {name: bound for each in metadata for name in _BOUNDS if (bound := getattr(each, name, None)) is not None}
    words = [_BOUNDS[name].format(bound) for name, bound in (known or finding["ctx"]).items()]
    return f" Give {' and '.join(words)}."


class _Said(ValueError):
    """A finding whose message has the value already."""


class Range(BaseModel):
    """Where a parameter is drawn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Number = Field(allow_inf_nan=False)
    max: Number = Field(allow_inf_nan=False)
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False
    """Whether values are rounded; follows from the parameter."""

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min >= self.max:
            raise _Said(f"a range goes up, but this one goes from {self.min} to {self.max}. Swap its ends")
        if self.scale == "log" and self.min <= 0:
            raise _Said(f"on a log scale a range is above 0, but this one starts at {self.min}. Raise its lower end")
        return self


class ExperimentSpec(BaseModel):
    """An experiment, as asked for. Parameter names and values are checked where they are resolved, in `parameters`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = "hyperparameter_sweep"
    systems: Listed[str] = Field(min_length=1)
    datasets: Listed[str] = ()
    """By position with `systems`."""
    dataset_name: str | None = None
    """One data set that holds every system."""
    training_types: Listed[TrainingType] = Field(default=("both",), min_length=1)
    model_types: Listed[ModelType] = ()
    """Of a comparison across systems; both by default."""
    match: Literal["per_system", "total"] = "per_system"
    """Whether a universal model gets as many steps for each system as a specialist has, or as many in total."""
    strategies: Listed[Strategy] = ()
    """Of an ablation; all by default."""
    equal_compute_control: bool = False
    """Whether an ablation also trains SFT alone for the compute of SFT and GRPO together."""
    source_system: str | None = None
    target_systems: Listed[str] = ()
    base_models: Literal["source", "all_available"] = "source"
    """What a transfer starts from besides the base: the source model it trains, or every finished adapter as well."""
    start_from: str | None = None
    """Of a single run: the training stage, as `kind/id`, whose adapter is trained further."""
    parameters: dict[str, Listed[Value]] = {}
    """Swept parameter -> its values."""
    ranges: dict[str, Range] = {}
    """Parameter -> the range it is drawn from, in a design that draws points."""
    zipped: Annotated[tuple[Listed[str], ...], BeforeValidator(_as_groups)] = ()
    """Swept parameters that vary together, value by value."""
    conditions: dict[str, dict[str, Listed[Value]]] = {}
    """Swept parameter -> what must hold where it is swept: another parameter, or `training_type` -> its values."""
    design: Design = "full"
    """Which combinations are run: all, a balanced fraction, or points drawn at random or from a Sobol sequence."""
    configurations: Whole | None = Field(default=None, ge=1, le=100_000)
    """How many points are drawn; at most, of a fraction."""
    only: tuple[dict[str, Value], ...] = ()
    """Of a sweep: the configurations that are run, by what tells them apart; all combinations where it is empty."""
    confirms: str | None = None
    """Of a sweep: the experiment whose results chose `only`."""
    fixed: dict[str, Value] = {}
    """Parameters with another value than the preset's, the same in every run."""
    replicates: Whole = Field(default=1, ge=1, le=1000)
    metrics: Listed[str] = Field(default=("final_error",), min_length=1)
    """The first is primary."""
    evaluation: Evaluation = "standard"
    evaluation_cases: Whole | None = Field(default=None, ge=1, le=MOST_CASES)
    base_model: str = "builtin:tiny"
    expert: Literal["optimal", "detuned"] = "optimal"
    seed: Whole = Field(default=0, ge=0, le=LARGEST_SEED)
    retries: dict[str, Annotated[Whole, Field(ge=0)]] = {}
    """Failure class -> how often a stage is tried again by itself, where that is not as usual; changes no result."""

    @field_validator("systems", "target_systems")
    @classmethod
    def _known_systems(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _distinct("system", tuple(plants.canonical(name) for name in names))

    @field_validator("source_system")
    @classmethod
    def _known_source(cls, name: str | None) -> str | None:
        return None if name is None else plants.canonical(name)

    @field_validator("training_types", "model_types", "strategies")
    @classmethod
    def _distinct_words(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _distinct(_singular(str(info.field_name)), names)

    @field_validator("retries")
    @classmethod
    def _known_classes(cls, limits: dict[str, int]) -> dict[str, int]:
        collect([unknown_name("retryable failure class", name, RETRYABLE) for name in limits if name not in RETRYABLE])
        return limits

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        collect([unknown_name("metric", name, METRICS) for name in names if name not in METRICS])
        return _distinct("metric", names)


def identity(spec: ExperimentSpec) -> ExperimentSpec:
    """`spec` without what changes no result, so that one experiment stays one."""
    return spec.model_copy(update={"retries": {}})


def make_spec(fields: dict[str, Any]) -> ExperimentSpec:
    """The specification with these fields.

    Raises:
        InputError: everything that is wrong with them, at once.
    """
    problems = _misplaced(fields)
    try:
        spec = ExperimentSpec(**_completed(fields))
    except ValidationError as error:
        found = _input_errors(error)
        if fields.get("type") == "transfer_learning":  # whose systems are its source and targets, which are missing
            found = [each for each in found if not str(each).startswith("systems must not be empty")]
        collect([*problems, *found])
        raise
    if spec.datasets and spec.dataset_name is not None:
        problems.append(InputError("--datasets and --dataset-name exclude each other. Give one of them."))
    if spec.datasets and len(spec.datasets) != len(spec.systems):
        problems.append(
            InputError(
                f"datasets go by position with systems, but there are {len(spec.datasets)} for {len(spec.systems)}. "
                "Name as many data sets as systems, or one with --dataset-name that holds them all."
            )
        )
    collect(problems)
    return spec


def _misplaced(fields: Mapping[str, Any]) -> list[InputError]:
    """Fields that the experiment's type does not read, or that contradict those from which they follow."""
    kind = fields.get("type", "hyperparameter_sweep")
    found = [
        InputError(
            f"{name} belongs to experiment type {' or '.join(types)}, but the type is {kind!r}. Drop one of them."
        )
        for name, types in _FIELDS_OF_TYPES.items()
        if kind not in types and fields.get(name) not in (None, (), [], ExperimentSpec.model_fields[name].default)
    ]
    if kind == "training_ablation" and "training_types" in fields:
        found.append(InputError("an ablation's strategies say how it trains. Drop the training types."))
    if kind == "transfer_learning":
        missing = [name for name in ("source_system", "target_systems") if not fields.get(name)]
        found += [InputError(f"a transfer needs --{name.replace('_', '-')}; it is missing.") for name in missing]
        if fields.get("systems"):
            found.append(InputError("a transfer's systems are its source and its targets. Drop the systems."))
    return found


def _completed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` with those that follow from others."""
    completed = dict(fields)
    kind = fields.get("type")
    if kind == "cross_system":
        completed["model_types"] = fields.get("model_types") or ("specialist", "universal")
    elif kind == "training_ablation":
        strategies = _as_tuple(fields.get("strategies") or tuple(STRATEGIES))
        known = [STRATEGIES[name] for name in strategies if name in STRATEGIES]
        completed |= {"strategies": strategies, "training_types": tuple(dict.fromkeys(known)) or ("both",)}
    elif kind == "transfer_learning":
        source, targets = fields.get("source_system"), _as_tuple(fields.get("target_systems") or ())
        completed["systems"] = [*([source] if source else []), *targets]
    return completed


def planned_spec(plan: Plan) -> ExperimentSpec:
    """The specification that `plan` was made from.

    Raises:
        InputError: it names something that is not here, such as a system of a plug-in.
    """
    try:
        return ExperimentSpec.model_validate(plan.spec)
    except ValidationError as error:
        causes = [detail.get("ctx", {}).get("error") for detail in error.errors()]
        cause = next((cause for cause in causes if isinstance(cause, InputError)), "its specification is damaged.")
        raise InputError(
            f"experiment {plan.experiment!r} cannot be used here: {cause} What came with a plug-in needs it installed."
        ) from error


def read_spec_file(path: Path) -> dict[str, Any]:
    """The fields in a YAML file; unlike in plain YAML 1.1, `1e-4` is a number.

    Raises:
        InputError: the file cannot be read, or is not a table.
    """
    try:
        fields = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise InputError(f"the specification {str(path)!r} cannot be read ({error.strerror}).") from error
    except _TwiceError as error:
        raise InputError(f"in {str(path)!r}, {error}") from error
    except RecursionError:
        raise InputError(f"{str(path)!r} is nested too deeply to be a specification.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise InputError(
            f"{str(path)!r} must be a table of specification fields such as 'systems: [double_integrator]'."
        )
    return fields


class _TwiceError(yaml.YAMLError):
    """A table with two values under one key."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads floats as YAML 1.2 does, and takes no key twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The table of `node`.

        Raises:
            _TwiceError: a key is there twice.
        """
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                mark = f"line {key.start_mark.line + 1}"
                raise _TwiceError(f"{key.value!r} is there twice, again in {mark}. Keep one of them.")
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)


def _distinct(kind: str, items: tuple[Item, ...]) -> tuple[Item, ...]:
    repeated = sorted({str(item) for item in items if items.count(item) > 1})
    if repeated:
        raise InputError(f"every {kind} may be given once, but {', '.join(repeated)} is repeated.")
    return items


def _singular(field: str) -> str:
    """What one value of a field is called."""
    words = field.replace("_", " ")
    return "strategy" if words == "strategies" else words.removesuffix("s")


_WORDS = {
    "dict_type": "must be a table of names and values",
    "tuple_type": "must be one value or a list of values",
    "too_short": "must not be empty",
}
"""Kind of finding -> what is asked for, where Python's own words would say little to a user."""


def _input_errors(error: ValidationError) -> list[InputError]:
    """One error for each finding; ours pass through as they were raised."""
    found = []
    wrong_items = {detail["loc"][0] for detail in error.errors() if len(detail["loc"]) > 1}
    several: set[tuple[object, ...]] = set()
    for detail in error.errors():
        place = detail["loc"]
        if detail["type"] == "too_short" and place[0] in wrong_items:
            continue  # it is short of the items that are reported themselves
        field = str(place[0]) if place else "specification"
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            found.append(cause)
        elif detail["type"] == "extra_forbidden":
            found.append(unknown_name("specification field", field, ExperimentSpec.model_fields))
        elif detail["type"] == "literal_error":
            kind = [str(word) for word in place if isinstance(word, str)][-1]
            known = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
            found.append(unknown_name(_singular(kind), str(detail["input"]), known))
        elif place and place[-1] in _KINDS_OF_VALUES:  # one finding for each kind that a value might have been
            if place[:-1] not in several:
                several.add(place[:-1])
                where = ".".join(map(str, place[:-1]))
                found.append(InputError(f"{where} must be one number, flag or word, but is {detail['input']!r}."))
        else:
            where = ".".join(map(str, place))
            given = "" if detail["type"] == "missing" else f", but is {detail['input']!r}"
            if detail["type"] in _WORDS:
                found.append(InputError(f"{where} {_WORDS[detail['type']]}{given}."))
            else:
                message = detail["msg"].removeprefix("Value error, ")
                rule = f"{where}: {_lower(message)}{'' if isinstance(cause, _Said) else given}."
                info = ExperimentSpec.model_fields.get(field)
                found.append(InputError(rule + remedy(dict(detail), info.metadata if info else ())))
    return found


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
