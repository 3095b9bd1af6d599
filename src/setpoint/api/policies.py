"""Trained adapters and base models as controllers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint import problems
from setpoint.api.control import as_problem
from setpoint.arguments import require_path, require_text
from setpoint.errors import InputError
from setpoint.language import PromptFormat
from setpoint.policies import BaseModel, resolve_base
from setpoint.policies.adapters import AdapterRecord, check_adapter, read_record
from setpoint.policies.base_report import require_served
from setpoint.problems import MoveBlocking, Problem

if TYPE_CHECKING:
    from setpoint.policies.controller import LLMController

    Policy = LLMController
else:
    Policy = Any


@dataclass(frozen=True)
class TrainedAdapter:
    """An adapter on disk, with its base model and prompt format.

    Attributes:
        systems: systems that it was trained on.
        prompt_format: format of its prompts and answers.
    """

    path: Path
    base: BaseModel
    systems: tuple[str, ...]
    prompt_format: PromptFormat

    @property
    def blocking(self) -> MoveBlocking:
        """Number of steps that each move of an answer is held."""
        return self.prompt_format.blocking

    def load(self) -> "Callable[[Problem], LLMController]":
        """Load the model, and return a function from a problem to its controller."""
        return load_model(self.base, self.prompt_format, self.path)


def load_model(
    base: BaseModel, prompt_format: PromptFormat, adapter: Path | None = None
) -> "Callable[[Problem], LLMController]":
    """Load a base model with an optional adapter, and return a function from a problem to its controller.

    Raises:
        InputError: the base or the adapter cannot be used, or the packages for training are not installed.
    """
    try:
        from setpoint.policies.controller import load_controllers
    except ImportError as error:
        raise InputError(
            f"language models need the package {error.name!r}. Install it with: pip install 'setpoint[train]'"
        ) from error
    require_served(base)
    return load_controllers(base, prompt_format, adapter)


def open_adapter(path: str | Path, base_model: str | None = None) -> TrainedAdapter:
    """Open and check the adapter in a folder.

    Args:
        base_model: current location of its base model; default: the location during training.

    Raises:
        InputError: the adapter is missing, damaged, not from this package, or belongs to another base.
    """
    folder = require_path(path, "adapter")
    record = _read_record(folder)
    base = resolve_base(record.base if base_model is None else require_text(base_model, "base_model"))
    check_adapter(folder, base)
    return TrainedAdapter(folder, base, record.systems, record.prompt_format)


def load_policy(
    adapter: str | Path, *, problem: Problem | str | None = None, base_model: str | None = None
) -> "LLMController":
    """Load a trained adapter as a controller.

    Args:
        adapter: folder of the adapter, such as `models/single_system/pendulum/sft/latest`, or a link to it.
        problem: problem to control; default: the system that the adapter was trained on.
        base_model: current location of its base model; default: the location during training.

    Raises:
        InputError: the adapter cannot be used, or it was trained on several systems and none is named.
    """
    posed = None if problem is None else as_problem(problem)
    found = open_adapter(adapter, base_model)
    if posed is None and len(found.systems) > 1:
        raise InputError(f"the adapter controls {', '.join(found.systems)}. Name one: load_policy(..., problem=...).")
    return found.load()(problems.get(found.systems[0]) if posed is None else posed)


def _read_record(path: Path) -> AdapterRecord:
    """Read the record that training wrote next to the adapter."""
    if not path.is_dir():
        raise InputError(f"no adapter folder {str(path)!r}. List the trained ones with `setpoint models list`.")
    try:
        return read_record(path)
    except InputError as error:
        raise InputError(
            f"{str(path)!r} is not an adapter trained by setpoint: {error} Give the folder of one, such as "
            "models/single_system/pendulum/sft/latest; `setpoint models list` shows them."
        ) from error


MODEL_TYPES = ("single_system", "universal")


def model_type(systems: Sequence[str]) -> str:
    """Return the name of the model type in paths."""
    return MODEL_TYPES[len(systems) > 1]
