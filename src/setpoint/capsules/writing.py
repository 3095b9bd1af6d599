"""Write the capsule of an experiment: an RO-Crate (https://w3id.org/ro/crate/1.3) in a zip file.

Equal experiments in equal environments give equal bytes: members are sorted and have no times of their own.
"""

import hashlib
import json
import mimetypes
import zipfile
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from setpoint.artifacts import Workspace, replacing
from setpoint.capsules.contents import CHECKSUMS, METADATA, VERSIONS, checksum_lines, files_of
from setpoint.errors import InputError
from setpoint.experiments.running.lease import lease_holder
from setpoint.experiments.running.links import link_models
from setpoint.experiments.running.status import require_plan
from setpoint.fingerprint import file_digest
from setpoint.records.plan import Plan
from setpoint.reports import write_reports

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can hold."""


def write_capsule(workspace: Workspace, experiment_id: str, target: Path) -> Path:
    """Write the capsule of an experiment to `target`, replacing an earlier one; return its path.

    Its reports are written again first, so that they belong to the results.

    Raises:
        InputError: there is no such experiment, or it is running.
        ModuleNotFoundError: the package rocrate is not installed.
    """
    plan = require_plan(workspace, experiment_id)
    folder = workspace.experiment(experiment_id)
    if lease_holder(folder) is not None:
        raise InputError(f"experiment {experiment_id!r} is running. Make its capsule when it has ended.")
    link_models(workspace, plan)  # the report names them
    write_reports(folder)
    return pack(workspace, plan, target)


def pack(workspace: Workspace, plan: Plan, target: Path) -> Path:
    """Write the files of an experiment to `target` as they are, and return its path."""
    files = dict(sorted(files_of(workspace, plan)))
    texts = {VERSIONS: _versions()}
    digests = {name: file_digest(path) for name, path in files.items()}
    texts[METADATA] = _metadata(plan, files, digests)
    digests |= {name: _text_digest(text) for name, text in texts.items()}
    texts[CHECKSUMS] = checksum_lines(dict(sorted(digests.items())))
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted([*files, *texts]):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, texts[name] if name in texts else files[name].read_bytes())
    return target


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _versions() -> str:
    """Return the installed distributions with their versions, as a requirements file."""
    found = {each.metadata["Name"].lower(): each.version for each in distributions() if each.metadata["Name"]}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def _metadata(plan: Plan, files: Mapping[str, Path], digests: Mapping[str, str]) -> str:
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    crate.name = f"Setpoint experiment {plan.experiment}"
    crate.description = f"{plan.type} on {', '.join(plan.systems)}, planned {plan.created_at}"
    crate.datePublished = datetime.fromisoformat(plan.created_at)
    crate.root_dataset["conformsTo"] = {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    for name in files:
        properties: dict[str, Any] = {"sha256": digests[name], "contentSize": str(files[name].stat().st_size)}
        properties["encodingFormat"] = mimetypes.guess_type(name)[0] or "application/octet-stream"
        crate.add_file(name, dest_path=name, properties=properties)
    crate.add_file(VERSIONS, dest_path=VERSIONS, properties={"encodingFormat": "text/plain"})
    return json.dumps(crate.metadata.generate(), indent=1, sort_keys=True) + "\n"
