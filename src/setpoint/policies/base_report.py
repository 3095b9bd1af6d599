"""What a base model brings, examined once before any work depends on it: chat template, end tokens, context length."""

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from setpoint import problems
from setpoint.artifacts import parse_json
from setpoint.errors import InputError, legible
from setpoint.language import compose_answer, messages
from setpoint.policies.bases import BUILTIN, BaseModel
from setpoint.policies.examination import RENDERING_S

_LOADING_S = 300.0
_USUAL_SYSTEMS = ("double_integrator",)


@dataclass(frozen=True)
class BaseReport:
    """Properties of a base model.

    Attributes:
        problem: why it cannot be used; empty if it can.
        facts: further properties, one phrase each.
    """

    problem: str
    facts: tuple[str, ...] = ()


def require_served(base: BaseModel, systems: Sequence[str] = _USUAL_SYSTEMS) -> None:
    """Check that the base can answer prompts for the controls of `systems` and trained on answers.

    Raises:
        InputError: it cannot.
    """
    report = examine_base(base, tuple(systems))
    if report.problem:
        raise InputError(
            f"base model {legible(base.name)!r} cannot be used: {report.problem.rstrip('.')}. Correct its files, or "
            "choose another with --base-model."
        )


def examine_base(base: BaseModel, systems: tuple[str, ...] = _USUAL_SYSTEMS) -> BaseReport:
    """Examine a base in a folder; the built-in one is known, and one on the hub is examined when it is loaded."""
    if base.name == BUILTIN or base.on_hub:
        return BaseReport("")
    if importlib.util.find_spec("transformers") is None:
        return BaseReport("the package 'transformers' is not installed; run pip install 'setpoint[train]'")
    chats = json.dumps([_chat(base, system) for system in systems])
    found = _examined(base.location, base.digest, chats)
    if "problem" in found:
        return BaseReport(str(found["problem"]))
    return BaseReport(_misfit(found), tuple(_facts(found)))


@cache
def _examined(location: str, _digest: str, chats: str) -> dict[str, Any]:
    """Return the result of an examination, which is made once for the same files and chats."""
    request = {"location": location, "chats": json.loads(chats)}
    command = [sys.executable, "-P", "-m", "setpoint.policies.examination"]
    try:
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, timeout=_LOADING_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"loading its tokenizer takes more than {_LOADING_S:g} s"}
    if done.returncode == -signal.SIGALRM:
        return {"problem": f"its chat template takes more than {RENDERING_S} s to render"}
    found = parse_json(done.stdout.encode(errors="replace"))
    if done.returncode != 0 or not isinstance(found, dict):
        last = done.stderr.strip().rpartition("\n")[2]
        return {"problem": f"its tokenizer and chat template cannot be examined ({legible(last)})"}
    return found


def _chat(base: BaseModel, system: str) -> dict[str, Any]:
    """Return a prompt and an answer of about the largest length."""
    problem, prompt_format = problems.get(system), base.preset.prompt_format
    plant = problem.plant
    state = np.array([-signal.upper * 0.9 for signal in plant.states])
    moves = np.tile(np.minimum(plant.control_lower, -plant.control_upper), (prompt_format.blocking.moves, 1))
    answer = compose_answer(problem, state, moves, moves[0], prompt_format)
    return {"name": system, "messages": messages(problem, state.tolist(), prompt_format), "answer": answer}


def _misfit(found: dict[str, Any]) -> str:
    """Return why prompts or answers do not fit into the model; empty if they do."""
    context, vocabulary, largest = found["context"], found["vocabulary"], found["largest_token"]
    if isinstance(vocabulary, int) and largest >= vocabulary:
        return f"its tokenizer has the token {largest}, but the model only {vocabulary} tokens"
    for system, (prompt, answer) in found["lengths"].items():
        if isinstance(context, int) and prompt + answer > context:
            return (
                f"its context of {context} tokens is too short for {system}, which needs {prompt} tokens for a prompt "
                f"and {answer} for an answer"
            )
    return ""


def _facts(found: dict[str, Any]) -> Iterator[str]:
    yield f"context {found['context'] or 'unknown'}"
    for system, (prompt, answer) in found["lengths"].items():
        yield f"{system}: prompt {prompt} tokens, answer {answer}"
    if found["folds_system"]:
        yield "no system role: its text goes into the user's turn"
    if found["appends_end"]:
        yield "the template ends no answer: an end token is appended in training"
    if found["ignored"]:
        yield f"generation settings not used: {', '.join(map(legible, found['ignored'][:8]))}"
