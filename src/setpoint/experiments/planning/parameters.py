"""Names and values of training parameters as users write them.

Every parameter has a full name such as `lora.rank` or `grpo.temperature`; an underscore works too (`lora_rank`). A bare
name (`batch_size`) sets the parameter in every trained stage that has it. Only `learning_rate` is that of the first
stage, and the rates of later stages follow from it by a ratio.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from setpoint import problems
from setpoint.artifacts import StageKind
from setpoint.errors import Findings, InputError, collect, shown, unknown_name
from setpoint.experiments.planning.spec_fields import Range, plain_number
from setpoint.language import AnswerParameters, GenerationParameters, PromptFormat, PromptParameters
from setpoint.modes import CLOSED_LOOP_REPLANNING
from setpoint.policies import BasePreset
from setpoint.problems import reward_horizon
from setpoint.records.plan import Value
from setpoint.training.config import DaggerParameters, GrpoParameters, LoraParameters, SftParameters
from setpoint.validation import sentence

MODELS: dict[str, type[BaseModel]] = {
    "prompt": PromptParameters,
    "answer": AnswerParameters,
    "generation": GenerationParameters,
    "lora": LoraParameters,
    "sft": SftParameters,
    "dagger": DaggerParameters,
    "grpo": GrpoParameters,
}
ALWAYS = ("prompt", "answer", "generation", "lora")
"""Groups that every run uses, whatever it trains."""

# training type -> its training stages, in order
TRAINED: dict[str, tuple[StageKind, ...]] = {
    "sft": (StageKind.SFT,),
    "grpo": (StageKind.GRPO,),
    "both": (StageKind.SFT, StageKind.GRPO),
    "dagger": (StageKind.SFT, StageKind.DAGGER),
    "dagger_grpo": (StageKind.SFT, StageKind.DAGGER, StageKind.GRPO),
}

PEAK_RATE = "learning_rate"
RATE_RATIO = "learning_rate_ratio"

_SEEDS = frozenset({"seed", "seeds", "replicate", "replicates"})

Place = tuple[str, str]
"""Group and field of one parameter, such as ("lora", "rank")."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter name that a user may set or sweep, and the fields it sets."""

    name: str
    places: tuple[Place, ...]

    def places_in(self, training_type: str) -> tuple[Place, ...]:
        """Return the fields that a run of this training type sets: of `learning_rate` only that of its first stage."""
        first, *later = TRAINED[training_type]
        groups = (*ALWAYS, first, *later)
        used = [place for place in self.places if place[0] in groups and place != (first, RATE_RATIO)]
        return tuple(used[:1] if self.name == PEAK_RATE else used)


@cache
def find(name: str) -> Parameter:
    """Return the parameter that `name` refers to.

    Raises:
        InputError: there is no such parameter; the message suggests the closest name.
    """
    group, dot, field = name.partition(".")
    if dot:
        places = [(group, field)] if group in MODELS and field in MODELS[group].model_fields else []
    else:
        places = [(group, name) for group, model in MODELS.items() if name in model.model_fields]
        places = places or [place for place in _all_places() if "_".join(place) == name]
    if not places and name in _SEEDS:
        raise InputError(
            f"seeds cannot be swept, but {name!r} is given as a parameter. Use --replicates N for N seeds per "
            "configuration, and --seed for the first seed."
        )
    if not places:
        raise unknown_name("parameter", name, [".".join(place) for place in _all_places()], aliases=_names())
    return Parameter(_canonical_name(places), tuple(places))


def replaced(parameter: Parameter, others: Sequence[Parameter]) -> bool:
    """Return whether `others` set every field that `parameter` sets. `learning_rate` sets that of one stage only."""
    covered = {place for other in others for place in other.places[: 1 if other.name == PEAK_RATE else None]}
    return parameter in others or covered >= set(parameter.places)


def is_parameter(name: str) -> bool:
    """Return whether `name` is a parameter, in any of its spellings."""
    return name in _names()


def parse_tokens(tokens: Iterable[str]) -> dict[str, list[str]]:
    """Parse tokens such as `lora_rank:4,8,16` into parameter -> values, still as text.

    Raises:
        InputError: a token lacks a name or values, or a name is repeated.
    """
    axes: dict[str, list[str]] = {}
    problems = []
    for token in tokens:
        name, colon, values = token.partition(":")
        if not (name.strip() and colon):
            problems.append(
                InputError(f"expected name:value,value, got {shown(token)}. Write for example lora_rank:4,8.")
            )
        elif name.strip() in axes:
            problems.append(InputError(f"parameter {shown(name)} is given twice. List all its values in one place."))
        else:
            axes[name.strip()] = [value.strip() for value in values.split(",")]
    collect(problems)
    return axes


def parse_ranges(tokens: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parse tokens such as `learning_rate:1e-5..1e-3:log` into parameter -> fields of a range, still as text.

    Raises:
        InputError: a token has another form, or a name is repeated.
    """
    found: dict[str, dict[str, str]] = {}
    problems = []
    for token in tokens:
        match = re.fullmatch(r"([^:]+):([^:]+?)\.\.([^:]+)(?::(linear|log))?", token)
        if match is None:
            form = "name:low..high or name:low..high:log"
            problems.append(InputError(f"expected {form}, got {shown(token)}. Write for example sft.steps:50..200."))
        elif match[1] in found:
            problems.append(InputError(f"the range of {shown(match[1])} is given twice. Remove one."))
        else:
            found[match[1]] = {"min": match[2], "max": match[3], "scale": match[4] or "linear"}
    collect(problems)
    return found


def canonical_axes(axes: Mapping[str, Sequence[Value]], training_types: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Return swept parameters with canonical names and parsed values.

    Raises:
        InputError: every unknown name, unused parameter, invalid, empty or repeated value, and field that is set twice.
    """
    parsed: dict[str, tuple[Value, ...]] = {}
    written: list[str] = []
    problems: list[InputError] = []
    for name, values in axes.items():
        try:
            parameter = find(name)
            _refuse_overlap(name, written, training_types)
            written.append(name)
            parsed[parameter.name] = _parse_all(parameter, values, training_types)
        except InputError as error:
            problems.append(error)
    collect(problems)
    return parsed


def canonical_fixed(
    fixed: Mapping[str, Value], swept: Iterable[str], training_types: Sequence[str]
) -> dict[str, Value]:
    """Return the parameters fixed for all runs, with canonical names and parsed values; see `canonical_axes`."""
    axes = canonical_axes({name: [value] for name, value in fixed.items()}, training_types)
    others = list(swept)
    for name in fixed:
        _refuse_overlap(name, others, training_types)
    return {name: values[0] for name, values in axes.items()}


def canonical_ranges(
    ranges: Mapping[str, Range], swept: Iterable[str], training_types: Sequence[str]
) -> dict[str, Range]:
    """Return ranges with canonical parameter names; the parameter's type decides whether values are integers.

    Raises:
        InputError: unknown names, limits that the parameter does not accept, and parameters that are not numeric or
            also have listed values.
    """
    found: dict[str, Range] = {}
    others = list(swept)
    findings = Findings()
    for name, given in ranges.items():
        with findings.check():
            parameter = find(name)
            _refuse_overlap(name, others, training_types)
            others.append(name)
            ends = [int(end) if end.is_integer() else end for end in (given.min, given.max)]
            parsed = _parse_all(parameter, ends, training_types)
            if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in parsed):
                raise InputError(f"{parameter.name} is not numeric, so it cannot take a range. List its values.")
            found[parameter.name] = given.model_copy(update={"whole": all(isinstance(end, int) for end in parsed)})
    findings.settle()
    return found


def resolve(
    preset: BasePreset, training_type: str, values: Mapping[str, Value], systems: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return all parameters of all groups that the training type uses: those of the preset, overridden by `values`.

    The default reward horizon follows from the primary evaluation mode of `systems`, see `problems.reward_horizon`.

    Args:
        values: canonical parameter name -> value.

    Raises:
        InputError: incompatible values.
    """
    resolved: dict[str, dict[str, Any]] = {
        group: dict(getattr(preset, group)) for group in (*ALWAYS, *TRAINED[training_type])
    }
    if "grpo" in resolved:
        resolved["grpo"]["reward_horizon"] = usual_reward_horizon(tuple(systems))
    given = {place: value for name, value in values.items() for place in find(name).places_in(training_type)}
    for (group, field), value in given.items():
        resolved[group][field] = value
    for kind in TRAINED[training_type][1:]:
        resolved[kind][PEAK_RATE] = _later_rate(preset, kind, given, bare=PEAK_RATE in values)
        resolved[kind].pop(RATE_RATIO, None)
    found = []
    for group, fields in resolved.items():
        try:
            resolved[group] = MODELS[group](**fields).model_dump()
        except ValidationError as error:
            found += [
                InputError(f"{group}: {detail['msg'].removeprefix('Value error, ')}.") for detail in error.errors()
            ]
    collect(found)
    require_format(format_of(resolved), systems)
    return resolved


def _later_rate(preset: BasePreset, kind: StageKind, given: Mapping[Place, Value], *, bare: bool) -> Value:
    """Return the peak rate of a stage after SFT: its own, or a ratio times that of SFT, or the preset's.

    Args:
        given: the fields that the run sets.
        bare: whether the run sets the rate of the first stage by the bare name `learning_rate`.

    Raises:
        InputError: both the rate and the ratio are given.
    """
    own, ratio = given.get((kind, PEAK_RATE)), given.get((kind, RATE_RATIO))
    if own is not None and ratio is not None:
        raise InputError(f"{kind}.{PEAK_RATE} and {kind}.{RATE_RATIO} both set the rate of {kind}. Remove one of them.")
    usual: float = getattr(preset, kind)[PEAK_RATE]
    if own is not None or (ratio is None and not bare):
        return usual if own is None else own
    first = float(given.get((StageKind.SFT, PEAK_RATE), preset.sft[PEAK_RATE]))
    return float(f"{first * float(preset.rate_ratio(kind) if ratio is None else ratio):.12g}")


def rate_ratios(resolved: Mapping[str, Mapping[str, Any]]) -> list[tuple[StageKind, float]]:
    """Return each trained stage after SFT with the ratio of its peak learning rate to that of SFT."""
    later = [kind for kind in (StageKind.DAGGER, StageKind.GRPO) if kind in resolved and StageKind.SFT in resolved]
    return [(kind, resolved[kind][PEAK_RATE] / resolved[StageKind.SFT][PEAK_RATE]) for kind in later]


def format_of(resolved: Mapping[str, Mapping[str, Any]]) -> PromptFormat:
    """Return the prompt format of resolved parameters.

    Raises:
        InputError: there are more moves than steps of the horizon.
    """
    return PromptFormat.of(PromptParameters(**resolved["prompt"]), AnswerParameters(**resolved["answer"]))


def require_format(prompt_format: PromptFormat, systems: Iterable[str]) -> None:
    """Check that answers cover the horizon of each system, or at least one interval of closed loop.

    Raises:
        InputError: they do not.
    """
    blocking = prompt_format.blocking
    if not prompt_format.covers(CLOSED_LOOP_REPLANNING):
        raise InputError(
            f"answer.moves {blocking.moves} covers {blocking.steps} steps, but closed loop replans every "
            f"{CLOSED_LOOP_REPLANNING}. Raise answer.moves."
        )
    for system in systems:
        if blocking.steps > problems.get(system).steps:
            blocking.require_horizon(system, problems.get(system).steps)


@cache
def usual_reward_horizon(names: tuple[str, ...]) -> int:
    """Return the default reward horizon of one model for the named systems."""
    return reward_horizon(problems.get(name) for name in names)


def _parse_all(parameter: Parameter, values: Sequence[Value], training_types: Sequence[str]) -> tuple[Value, ...]:
    places = sorted({place for training_type in training_types for place in parameter.places_in(training_type)})
    if not places:
        raise InputError(
            f"parameter {parameter.name!r} has no effect with training type {', '.join(training_types)}. Remove it, or "
            "add a training type that uses it."
        )
    if not values or "" in values:
        raise InputError(f"parameter {parameter.name!r} has an empty value. Write {parameter.name}:value,value.")
    parsed: list[Value] = []
    problems = []
    for value in values:
        try:
            parsed.append([_parse(parameter.name, place, value) for place in places][-1])
        except InputError as error:
            problems.append(error)
    repeated = sorted({str(value) for value in parsed if parsed.count(value) > 1})
    if repeated:
        problems.append(
            InputError(f"repeated value of {parameter.name!r}: {', '.join(repeated)}. Give each value once.")
        )
    collect(problems)
    return tuple(parsed)


def _parse(name: str, place: Place, value: Value) -> Value:
    """Parse `value` as the type of the field at `place`."""
    group, field = place
    try:
        parsed = _adapter(group, field).validate_python(value)
    except ValidationError as error:
        finding = error.errors()[0]
        raise InputError(sentence(name, dict(finding), MODELS[group].model_fields[field].metadata)) from error
    if isinstance(parsed, int | float) and not isinstance(parsed, bool):
        try:
            plain_number(value)
        except ValueError as error:
            raise InputError(f"{name}: {error}.") from error
    if isinstance(parsed, float) and not math.isfinite(parsed):
        raise InputError(f"{name} must be finite, got {shown(value)}.")
    return parsed


@cache
def _adapter(group: str, field: str) -> TypeAdapter[Value]:
    info = MODELS[group].model_fields[field]
    return TypeAdapter(Annotated[info.annotation, info])  # type: ignore[arg-type]


def _refuse_overlap(name: str, others: Iterable[str], training_types: Sequence[str]) -> None:
    """Raise an error if `name` sets a field that one of `others` sets; it quotes the names as the user wrote them."""
    for other in others:
        shared = _shared_places(find(name), find(other), training_types)
        if shared and other == name:
            raise InputError(f"{name!r} is set twice. Remove one of the settings.")
        if shared:
            raise InputError(f"{other!r} and {name!r} both set {'.'.join(shared[0])}. Remove one of them.")


def _shared_places(one: Parameter, other: Parameter, training_types: Sequence[str]) -> list[Place]:
    if one == other:
        return sorted(one.places)
    return sorted({place for kind in training_types for place in {*one.places_in(kind)} & {*other.places_in(kind)}})


def _canonical_name(places: Sequence[Place]) -> str:
    group, field = places[0]
    if len(places) > 1:
        return field
    return f"lora_{field}" if group == "lora" else f"{group}.{field}"


def _all_places() -> list[Place]:
    return [(group, field) for group, model in MODELS.items() for field in model.model_fields]


def _names() -> list[str]:
    return [name for place in _all_places() for name in (place[1], ".".join(place), "_".join(place))]
