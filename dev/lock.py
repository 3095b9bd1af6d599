"""Write requirements.lock, the tested set with hashes, and docs/reference/licences.md, from a report of pip.

pip install --dry-run --ignore-installed --report report.json -c constraints.txt '.[train,report,baselines]'
python dev/lock.py report.json
"""

import json
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PLATFORM = "Linux on x86-64, Python 3.11"


def packages(report: Path) -> list[dict[str, Any]]:
    """The packages that pip would install, without this one, sorted by name."""
    found = json.loads(report.read_text(encoding="utf-8"))["install"]
    others = [each for each in found if each["metadata"]["name"] != "setpoint"]
    return sorted(others, key=lambda each: each["metadata"]["name"].lower())


def locked(package: dict[str, Any]) -> str:
    """One requirement with the hash of its archive."""
    stated, archive = package["metadata"], package["download_info"]["archive_info"]
    return f"{stated['name']}=={stated['version']} \\\n    --hash=sha256:{archive['hashes']['sha256']}"


def licence(name: str) -> str:
    """The licence that the installed package states, in one short line."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return "not installed"
    named = [each.rpartition(" :: ")[2] for each in stated.get_all("Classifier", []) if each.startswith("License ::")]
    text = stated.get("License-Expression") or stated.get("License") or ", ".join(named) or "not stated"
    return str(text).strip().partition("\n")[0].replace("|", "/")[:60]


def main(report: Path) -> None:
    """Write both files."""
    found = packages(report)
    head = f"# Tested set for {PLATFORM}: pip install --require-hashes -r requirements.lock; see dev/lock.py.\n"
    (ROOT / "requirements.lock").write_text(head + "\n".join(map(locked, found)) + "\n", encoding="utf-8")
    rows = [
        f"| {p['metadata']['name']} | {p['metadata']['version']} | {licence(p['metadata']['name'])} |" for p in found
    ]
    text = [
        "# Licences",
        "",
        f"The packages of `requirements.lock` ({PLATFORM}) with the licences that they state; `make lock` writes this",
        "page.",
        "",
        "| package | version | licence |",
        "| --- | --- | --- |",
        *rows,
    ]
    (ROOT / "docs" / "reference" / "licences.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
