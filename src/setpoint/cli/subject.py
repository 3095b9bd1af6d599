"""Subject of `setpoint evaluate`: an adapter, an untrained base model, or a controller."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.errors import InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.controllers import Controller
    from setpoint.problems import Problem

    Maker = Callable[[Problem], Controller]


@dataclass(frozen=True)
class Subject:
    """Model or controller to evaluate.

    Attributes:
        label: display name.
        systems: full names.
        covered: number of steps that its plans cover; None for the whole horizon.
        load: loads the model, which takes time, and returns a function from a problem to its controller; None for a
            reference, which every table includes.
    """

    label: str
    systems: tuple[str, ...]
    covered: int | None
    load: "Callable[[], Maker] | None"


def subject_of(arguments: argparse.Namespace) -> Subject:
    """Return the subject of the command.

    Raises:
        InputError: no subject or several are named, or it cannot be used.
    """
    _require_one(arguments)
    if arguments.controller is not None:
        return _reference(arguments)
    if arguments.policy is not None:
        return _function(arguments)
    if arguments.model_path is not None:
        return _adapter(arguments)
    if arguments.base_model is not None:
        return _base(arguments)
    from setpoint.api.evaluation import CONTROLLERS

    raise InputError(
        "nothing to evaluate. Name an adapter with --model-path (`setpoint models list` shows them), a base model "
        f"with --base-model, one of {', '.join(CONTROLLERS)} with --controller, or a function with --policy."
    )


def _require_one(arguments: argparse.Namespace) -> None:
    """Check that at most one subject is named; an adapter may come with its base model."""
    given = {
        "--controller": arguments.controller,
        "--policy": arguments.policy,
        "--model-path or --base-model": arguments.model_path or arguments.base_model,
    }
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"{named[0]} cannot be combined with {named[1]}. Evaluate one at a time.")


def _function(arguments: argparse.Namespace) -> Subject:
    from setpoint.cli.policy_function import load_function
    from setpoint.controllers import FeedbackController

    systems, label = _given_system(arguments), str(arguments.policy)
    function = load_function(label)

    def controller(problem: "Problem") -> "Controller":
        return FeedbackController(problem, function, name="policy", label=label)

    return Subject(label, systems, None, lambda: controller)


def _reference(arguments: argparse.Namespace) -> Subject:
    from setpoint.api.evaluation import CONTROLLERS, REFERENCES, controller_class

    name: str = arguments.controller
    if name not in CONTROLLERS:
        raise unknown_name("controller", name, CONTROLLERS)
    systems = _given_system(arguments)
    return Subject(name, systems, None, None if name in REFERENCES else lambda: controller_class(name))


def _base(arguments: argparse.Namespace) -> Subject:
    from setpoint.api.policies import load_model
    from setpoint.policies import resolve_base

    base = resolve_base(arguments.base_model)
    prompt_format = base.preset.prompt_format
    label = f"{base.name} (untrained)"
    covered = prompt_format.blocking.steps
    return Subject(label, _given_system(arguments), covered, lambda: load_model(base, prompt_format))


def _adapter(arguments: argparse.Namespace) -> Subject:
    from setpoint.api.policies import open_adapter

    path: Path = arguments.model_path
    adapter = open_adapter(path, arguments.base_model)
    _check_model_type(arguments.model_type, adapter.systems)
    wanted = adapter.systems if arguments.system is None else _given_system(arguments)
    return Subject(_path_text(path), wanted, adapter.blocking.steps, adapter.load)


def _path_text(path: Path) -> str:
    """Return the path; a link `latest` also gets the run that it points to, as `RUN (PATH)`."""
    return f"{path.readlink().name} ({path})" if path.name == "latest" and path.is_symlink() else str(path)


def _check_model_type(model_type: str | None, trained_on: Sequence[str]) -> None:
    if model_type is None:
        return
    from setpoint.api.policies import MODEL_TYPES
    from setpoint.api.policies import model_type as type_of

    if model_type not in MODEL_TYPES:
        raise unknown_name("model type", model_type, MODEL_TYPES)
    found = type_of(trained_on)
    if found != model_type:
        raise InputError(
            f"the adapter was trained on {', '.join(trained_on)}, which makes it {found}, not {model_type}. "
            "Correct or remove --model-type."
        )


def _given_system(arguments: argparse.Namespace) -> tuple[str, ...]:
    from setpoint import plants

    if arguments.system is None:
        raise InputError("no system is given. Name one with --system; `setpoint systems` lists them.")
    return (plants.canonical(arguments.system),)
