"""A finished stage on disk, without computing anything."""

import json

from setpoint.artifacts import StageFolder, Workspace
from setpoint.artifacts.manifest import SCHEMA, Manifest, Measured, PublishedFile
from setpoint.fingerprint import file_digest


def add_stage(workspace: Workspace, kind: str, name: str, content: str = "result") -> StageFolder:
    folder = workspace.stage(kind, name)
    (folder.path / "attempts" / "0001").mkdir(parents=True)
    (folder.path / "adapter").mkdir()
    file = folder.path / "adapter" / "weights"
    file.write_text(content)
    files = {"adapter/weights": PublishedFile(file_digest(file), file.stat().st_size)}
    manifest = Manifest(SCHEMA, name, kind, 1, "2026-01-01T00:00:00+00:00", files, {}, Measured(), {})
    folder.manifest.write_text(json.dumps(manifest.to_json()))
    (folder.path / "attempts" / "0001" / "claim.json").write_text("{}")
    return folder
