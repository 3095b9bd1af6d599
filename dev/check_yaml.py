"""Check every YAML file for people against the published JSON schema that its first line names, as an editor does."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema

from setpoint.experiments.planning.starter import EDITOR_HEADER
from setpoint.yaml_files import read_table

ROOT = Path(__file__).parents[1]
FOLDERS = ("configs", "experiments", "src/setpoint")


def files() -> list[Path]:
    """Every specification and cluster profile of the repository."""
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.yaml"))


def findings(path: Path) -> Iterator[str]:
    """What an editor would underline in `path`."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    schema = path.parent / first.removeprefix(EDITOR_HEADER)
    if not first.startswith(EDITOR_HEADER) or not schema.is_file():
        yield f"the first line must be '{EDITOR_HEADER}' and the path of a schema"
        return
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    for error in validator.iter_errors(read_table(path, "a field")):
        yield f"{error.json_path}: {error.message}"


def main() -> int:
    """Print every finding; the exit code."""
    found = [f"{path.relative_to(ROOT)}: {finding}" for path in files() for finding in findings(path)]
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
