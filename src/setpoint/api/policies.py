"""Trained adapters and base models as controllers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint import problems
from setpoint.artifacts import read_json
from setpoint.errors import InputError
from setpoint.language import PromptFormat
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.adapters import ADAPTER_RECORD, check_adapter
from setpoint.problems import MoveBlocking, Problem

if TYPE_CHECKING:
    from setpoint.policies.controller import LLMController

    Policy = LLMController
else:
    Policy = Any


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter on disk with what is needed to use it.

    Attributes:
        systems: what it was trained on.
        prompt_format: of its prompts and answers.
    """

    path: Path
    base: BaseModel
    systems: tuple[str, ...]
    prompt_format: PromptFormat

    @property
    def blocking(self) -> MoveBlocking:
        """For how many steps each move of an answer is held."""
        return self.prompt_format.blocking

    def load(self) -> "Callable[[Problem], LLMController]":
        """Load the model once; the result makes the controller of any problem."""
        return load_model(self.base, self.prompt_format, self.path)


def load_model(
    base: BaseModel, prompt_format: PromptFormat, adapter: Path | None = None
) -> "Callable[[Problem], LLMController]":
    """Load a base model, with an adapter or without; the result makes the controller of any problem.

    Raises:
        InputError: the base or the adapter cannot be used, or the packages for training are not installed.
    """
    try:
        from setpoint.policies.controller import load_controllers
    except ImportError as error:
        raise InputError(
            f"language models need the package {error.name!r}. Install it with: pip install 'setpoint[train]'"
        ) from error
    return load_controllers(base, prompt_format, adapter)


def open_adapter(path: str | Path, base_model: str | None = None) -> TrainedAdapter:
    """The adapter in a folder, checked.

    Args:
        base_model: where its base is now; default: where it was when the adapter was trained.

    Raises:
        InputError: it is missing, damaged, not from this package, or belongs to another base.
    """
    folder = Path(path)
    record = _read_record(folder)
    base = resolve_base(base_model or record["base"]["name"])
    prompt_format = PromptFormat.from_definition(record["dialect"])
    check_adapter(folder, base)
    return TrainedAdapter(folder, base, tuple(record["systems"]), prompt_format)


def load_policy(
    adapter: str | Path, *, problem: Problem | str | None = None, base_model: str | None = None
) -> "LLMController":
    """A trained adapter as a controller.

    Args:
        adapter: its folder, such as `models/single_system/pendulum/sft/latest`, or a link to it.
        problem: what to control; default: the system it was trained on.
        base_model: where its base is now; default: where it was when the adapter was trained.

    Raises:
        InputError: the adapter cannot be used, or it was trained on several systems and none was named.
    """
    found = open_adapter(adapter, base_model)
    if problem is None and len(found.systems) > 1:
        raise InputError(f"the adapter controls {', '.join(found.systems)}. Name one: load_policy(..., problem=...).")
    if not isinstance(problem, Problem):
        problem = problems.get(found.systems[0] if problem is None else problem)
    return found.load()(problem)


def _read_record(path: Path) -> Mapping[str, Any]:
    """What training wrote beside the adapter."""
    if not path.is_dir():
        raise InputError(f"no adapter folder {str(path)!r}. List the trained ones with `setpoint models list`.")
    record = read_json(path / ADAPTER_RECORD)
    if not (isinstance(record, dict) and {"base", "systems", "dialect"} <= record.keys()):
        raise InputError(
            f"{str(path)!r} is not an adapter trained by setpoint: {ADAPTER_RECORD!r} is missing or incomplete. "
            "List the trained ones with `setpoint models list`."
        )
    return record


MODEL_TYPES = ("single_system", "universal")


def model_type(systems: Sequence[str]) -> str:
    """What a model of these systems is called on disk."""
    return MODEL_TYPES[len(systems) > 1]
