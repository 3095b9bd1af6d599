"""`setpoint models list`: the trained models linked below `models/`."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import add_json, add_workspace, one_of, print_json, workspace_of

if TYPE_CHECKING:
    from setpoint.artifacts import Manifest, StageFolder, Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verbs below `setpoint models`."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    list_parser = verbs.add_parser("list", help="list trained models", description="List trained models.")
    list_parser.add_argument("--detailed", action="store_true", help="also show parameters, base model and data")
    list_parser.add_argument(
        "--format", type=one_of("text", "json"), default="text", metavar="FORM", help="text (default) or json"
    )
    add_workspace(list_parser)
    add_json(list_parser)


def run(arguments: argparse.Namespace) -> int:
    """List the models."""
    workspace = workspace_of(arguments)
    found = [_describe(link, workspace, detailed=arguments.detailed) for link in _links(workspace)]
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


def _describe(link: Path, workspace: "Workspace", *, detailed: bool) -> dict[str, Any]:
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
    }
    return {**model, **_details(stage, manifest)} if detailed else model


def _details(stage: "StageFolder", manifest: "Manifest | None") -> dict[str, Any]:
    stored = stage.read_config()
    config = {} if stored is None else stored.config
    return {
        "stage_id": stage.path.name,
        "seed": None if stored is None else stored.seed,
        "base": config.get("base"),
        "datasets": config.get("datasets"),
        "parameters": {group: config[group] for group in ("lora", "sft", "dagger", "grpo") if group in config},
        "summary": None if manifest is None else manifest.summary,
        "measured": None if manifest is None else manifest.measured.to_json(),
    }


def _lines(model: dict[str, Any]) -> Iterator[str]:
    note = "" if model["usable"] else "  (files missing: train again)"
    yield f"{'+'.join(model['systems'])}  {model['stage']:<4}  {model['run_id']}  {model['finished_at'] or ''}{note}"
    if "parameters" in model:
        yield f"    path: {model['path']}"
        for group, values in model["parameters"].items():
            yield f"    {group}: {', '.join(f'{name}={value}' for name, value in values.items())}"
        yield f"    base: {(model['base'] or {}).get('name')}  seed: {model['seed']}"
        yield f"    data: {', '.join(data['name'] for data in model['datasets'] or [])}"
