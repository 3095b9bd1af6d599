"""Results on disk: the workspace, stage folders, claims, and files that appear whole or not at all."""

from setpoint.artifacts.atomic import create_json, read_json, write_json, write_text
from setpoint.artifacts.context import StageContext
from setpoint.artifacts.locks import Claim, read_claim
from setpoint.artifacts.stage import Attempt, StageFolder, read_manifest
from setpoint.artifacts.workspace import Workspace, check_identifier

__all__ = [
    "Attempt",
    "Claim",
    "StageContext",
    "StageFolder",
    "Workspace",
    "check_identifier",
    "create_json",
    "read_claim",
    "read_json",
    "read_manifest",
    "write_json",
    "write_text",
]
