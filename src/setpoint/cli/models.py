"""`setpoint models list`: the trained models linked below `models/`."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import add_json, add_workspace, one_of, print_json, workspace_of

if TYPE_CHECKING:
    from setpoint.artifacts import Manifest, StageConfig, StageFolder, Workspace
    from setpoint.experiments.running.scores import Score
    from setpoint.records.training_config import TrainingConfig

_SORTED = ("date", "name", "system", "score")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint models`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    list_parser = verbs.add_parser("list", help="list trained models", description="List trained models.")
    list_parser.add_argument("--detailed", action="store_true", help="also show parameters, base model and data")
    list_parser.add_argument(
        "--format", type=one_of("text", "json"), default="text", metavar="FORM", help="text (default) or json"
    )
    list_parser.add_argument(
        "--sort", type=one_of(*_SORTED), default="date", metavar="BY", help="date (default), name, system or score"
    )
    add_workspace(list_parser)
    add_json(list_parser)


def run(arguments: argparse.Namespace) -> int:
    """List the models."""
    from setpoint.experiments.running.scores import adapter_scores

    workspace = workspace_of(arguments)
    scores = adapter_scores(workspace)
    found = [_describe(link, workspace, scores, detailed=arguments.detailed) for link in _links(workspace)]
    found.sort(key=lambda model: _sort_key(model, arguments.sort))
    if arguments.json or arguments.format == "json":
        print_json(found)
    elif not found:
        print(f"no trained models in workspace {str(workspace.root)!r}")
    else:
        print("\n".join(line for model in found for line in _lines(model)))
    return 0


def _links(workspace: "Workspace") -> list[Path]:
    links = [path for path in workspace.models.glob("*/*/*/*") if path.is_symlink() and path.name != "latest"]
    return sorted(links)


def _sort_key(model: dict[str, Any], by: str) -> tuple[Any, ...]:
    from setpoint.artifacts import TRAINING_KINDS

    keys: dict[str, Any] = {
        "date": model["finished_at"] or "",
        "name": model["run_id"],
        "system": "+".join(model["systems"]),
        "score": next((score["value"] for score in model["scores"]), float("inf")),
    }
    order = {str(kind): position for position, kind in enumerate(TRAINING_KINDS)}
    return keys[by], model["run_id"], order.get(model["stage"], len(order)), model["stage"]


def _describe(
    link: Path, workspace: "Workspace", scores: "Mapping[str, Sequence[Score]]", *, detailed: bool
) -> dict[str, Any]:
    """Return the record of one model; a value missing from its stage folder is None."""
    from setpoint.artifacts import StageFolder

    family, systems, training_type, name = link.relative_to(workspace.models).parts
    stage = StageFolder(link.resolve().parent)
    manifest = stage.read_manifest()
    model: dict[str, Any] = {
        "run_id": name,
        "model_type": "specialist" if family == "single_system" else "universal",
        "systems": systems.split("+"),
        "stage": training_type,
        "path": str(link),
        "finished_at": None if manifest is None else manifest.finished_at,
        "usable": stage.finished(),
        "scores": [score.to_json() | {"text": score.text} for score in _primary_first(scores.get(stage.path.name, ()))],
    }
    return {**model, **_details(stage, manifest)} if detailed else model


def _primary_first(scores: "Sequence[Score]") -> "list[Score]":
    """Return the scores with those in the primary mode of their system first."""
    from setpoint import plants, problems

    known = plants.names()
    primary = {s.system: problems.get(s.system).evaluation_mode.episodes for s in scores if s.system in known}
    return sorted(scores, key=lambda score: primary.get(score.system) != score.mode)


def _details(stage: "StageFolder", manifest: "Manifest | None") -> dict[str, Any]:
    stored = stage.read_config()
    config = None if stored is None else _training_config(stage, stored)
    return {
        "stage_id": stage.path.name,
        "seed": None if stored is None else stored.seed,
        "base": None if config is None else config.base.model_dump(),
        "datasets": None if config is None else [data.model_dump() for data in config.datasets],
        "parameters": {} if config is None or stored is None else {"lora": config.lora, stored.kind: config.parameters},
        "summary": None if manifest is None else manifest.summary,
        "measured": None if manifest is None else manifest.measured.to_json(),
    }


def _training_config(stage: "StageFolder", stored: "StageConfig") -> "TrainingConfig | None":
    """Return the configuration of a training stage; None if it is damaged."""
    from setpoint.artifacts import DamagedError, Fields, StageKind
    from setpoint.records.training_config import TrainingConfig

    try:
        return TrainingConfig.read(Fields(dict(stored.config), stage.config, "config"), StageKind(stored.kind))
    except (DamagedError, ValueError):
        return None


def _lines(model: dict[str, Any]) -> Iterator[str]:
    note = "" if model["usable"] else "  (files missing: train again)"
    date = (model["finished_at"] or "")[:10]
    yield f"{date:<10}  {model['stage']:<4}  {model['run_id']}{note}"
    yield from (f"    {score['text']}" for score in model["scores"])
    if not model["scores"]:
        yield f"    {'+'.join(model['systems'])}: not evaluated"
    if "parameters" in model:
        yield f"    path: {model['path']}"
        for group, values in model["parameters"].items():
            yield f"    {group}: {', '.join(f'{name}={value}' for name, value in values.items())}"
        yield f"    base: {(model['base'] or {}).get('name')}  seed: {model['seed']}"
        yield f"    data: {', '.join(data['name'] for data in model['datasets'] or [])}"
