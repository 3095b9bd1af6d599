"""Results on disk: workspace, stage folders, locks, and atomic file writes."""

from setpoint.artifacts.atomic import create_json, parse_json, read_json, replacing, write_json, write_text
from setpoint.artifacts.context import StageContext
from setpoint.artifacts.fields import DamagedError, Fields
from setpoint.artifacts.leftovers import is_leftover, remove_leftovers, temporary_path
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
from setpoint.artifacts.places import links_below, remove, require_no_links, require_real
from setpoint.artifacts.stage import Attempt, StageFolder
from setpoint.artifacts.workspace import Workspace, open_for_writing

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
    "is_leftover",
    "links_below",
    "open_for_writing",
    "parse_json",
    "read_json",
    "read_lock",
    "read_manifest",
    "read_measured",
    "remove",
    "remove_leftovers",
    "replacing",
    "require_no_links",
    "require_real",
    "temporary_path",
    "write_json",
    "write_text",
]
