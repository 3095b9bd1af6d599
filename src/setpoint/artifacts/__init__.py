"""Results on disk: workspace, stage folders, locks, and atomic file writes."""

from setpoint.artifacts.atomic import create_json, parse_json, read_json, write_json, write_text
from setpoint.artifacts.context import StageContext
from setpoint.artifacts.fields import DamagedError, Fields
from setpoint.artifacts.locks import Lock, read_lock
from setpoint.artifacts.manifest import (
    TRAINING_KINDS,
    Manifest,
    Measured,
    PublishedFile,
    StageConfig,
    StageKind,
    read_manifest,
    read_measured,
)
from setpoint.artifacts.names import check_identifier, is_file_name, is_identifier
from setpoint.artifacts.stage import Attempt, StageFolder
from setpoint.artifacts.workspace import Workspace

__all__ = [
    "TRAINING_KINDS",
    "Attempt",
    "DamagedError",
    "Fields",
    "Lock",
    "Manifest",
    "Measured",
    "PublishedFile",
    "StageConfig",
    "StageContext",
    "StageFolder",
    "StageKind",
    "Workspace",
    "check_identifier",
    "create_json",
    "is_file_name",
    "is_identifier",
    "parse_json",
    "read_json",
    "read_lock",
    "read_manifest",
    "read_measured",
    "write_json",
    "write_text",
]
