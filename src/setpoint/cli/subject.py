"""What `setpoint evaluate` is asked about: an adapter, a base model as it is, or a reference controller."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.errors import InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.controllers import Controller
    from setpoint.language import Dialect
    from setpoint.policies import BaseModel
    from setpoint.problems import MoveBlocking, Problem

    Maker = Callable[[Problem], Controller]

REFERENCES = ("optimum", "lqr", "zero")
"""Every table has these."""
CONTROLLERS = (*REFERENCES, "tracking_lqr", "mpc")
_MODEL_TYPES = ("single_system", "universal")


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        label: for people.
        systems: full names.
        blocking: of its plans, for the price of blocking.
        load: takes long, and gives what makes it for a problem; None for a reference, which every table has anyway.
    """

    label: str
    systems: tuple[str, ...]
    blocking: "MoveBlocking"
    load: "Callable[[], Maker] | None"


def subject_of(arguments: argparse.Namespace) -> Subject:
    """The subject that the command names.

    Raises:
        InputError: none or several are named, or the one cannot be used.
    """
    if arguments.controller is not None:
        if arguments.model_path is not None or arguments.base_model is not None:
            raise InputError("--controller excludes --model-path and --base-model. Evaluate one at a time.")
        return _reference(arguments)
    if arguments.model_path is not None:
        return _adapter(arguments)
    if arguments.base_model is not None:
        return _base(arguments)
    raise InputError(
        "nothing to evaluate. Name an adapter with --model-path (`setpoint models list` shows them), a base model "
        f"with --base-model, or one of {', '.join(CONTROLLERS)} with --controller."
    )


def _reference(arguments: argparse.Namespace) -> Subject:
    from setpoint import problems
    from setpoint.problems import usual_blocking

    name: str = arguments.controller
    if name not in CONTROLLERS:
        raise unknown_name("controller", name, CONTROLLERS)
    asked = _asked_system(arguments)
    blocking = usual_blocking(problems.get(asked[0]).steps)
    return Subject(name, asked, blocking, None if name in REFERENCES else lambda: _baseline(name))


def _baseline(name: str) -> "Maker":
    """Makes the baseline called `name`."""
    from setpoint.controllers.mpc import ModelPredictive
    from setpoint.controllers.tracking import TrackingLqr

    return ModelPredictive if name == ModelPredictive.name else TrackingLqr


def _base(arguments: argparse.Namespace) -> Subject:
    from setpoint.policies import resolve_base

    base = resolve_base(arguments.base_model)
    dialect = base.preset.dialect
    label = f"{base.name} without training"
    return Subject(label, _asked_system(arguments), dialect.blocking, lambda: _language_model(base, dialect, None))


def _adapter(arguments: argparse.Namespace) -> Subject:
    from setpoint.language import Dialect
    from setpoint.policies import resolve_base
    from setpoint.policies.adapters import check_adapter

    path: Path = arguments.model_path
    record = _read_record(path)
    base = resolve_base(arguments.base_model or record["base"]["name"])
    _check_model_type(arguments.model_type, record["systems"])
    dialect = Dialect.from_definition(record["dialect"])
    wanted = tuple(record["systems"]) if arguments.system is None else _asked_system(arguments)
    check_adapter(path, base)
    return Subject(_path_text(path), wanted, dialect.blocking, lambda: _language_model(base, dialect, path))


def _path_text(path: Path) -> str:
    """The path, with the run that `latest` stands for at the moment."""
    return f"{path} (now {path.readlink().name})" if path.name == "latest" and path.is_symlink() else str(path)


def _read_record(path: Path) -> Mapping[str, Any]:
    """What training wrote beside the adapter."""
    if not path.is_dir():
        raise InputError(f"there is no adapter folder {str(path)!r}. `setpoint models list` shows the trained ones.")
    from setpoint.artifacts import read_json
    from setpoint.policies.adapters import ADAPTER_RECORD

    record = read_json(path / ADAPTER_RECORD)
    if not (isinstance(record, dict) and {"base", "systems", "dialect"} <= record.keys()):
        raise InputError(
            f"{str(path)!r} is not an adapter trained by setpoint: {ADAPTER_RECORD!r} is missing or incomplete. "
            "`setpoint models list` shows the trained ones."
        )
    return record


def _check_model_type(model_type: str | None, trained_on: Sequence[str]) -> None:
    if model_type is None:
        return
    if model_type not in _MODEL_TYPES:
        raise unknown_name("model type", model_type, _MODEL_TYPES)
    found = _MODEL_TYPES[len(trained_on) > 1]
    if found != model_type:
        raise InputError(
            f"the adapter was trained on {', '.join(trained_on)}, which makes it {found}, not {model_type}. "
            "Correct --model-type or leave it out."
        )


def _asked_system(arguments: argparse.Namespace) -> tuple[str, ...]:
    from setpoint import systems

    if arguments.system is None:
        raise InputError("name the system to evaluate on with --system; `setpoint systems` lists them.")
    return (systems.canonical(arguments.system),)


def _language_model(base: "BaseModel", dialect: "Dialect", adapter: Path | None) -> "Maker":
    from setpoint.policies.controller import load_controllers

    return load_controllers(base, dialect, adapter)
