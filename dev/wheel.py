"""Build the wheel, install it into a bare environment, and run it there: what a newcomer with pip gets.

The wheel is left in dist/. `--with EXTRAS` installs extras too, such as `--with train,report`, and then runs the demo.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def built(folder: Path) -> Path:
    """Build the wheel into `folder`, from a copy of the sources that git knows; its path."""
    with tempfile.TemporaryDirectory() as copy:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src", "pyproject.toml"]
        names = subprocess.run([*listed, "README.md", "LICENSE"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            target = Path(copy, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), copy], ROOT)
    (wheel,) = folder.glob("setpoint-*.whl")
    return wheel


def installed(wheel: Path, environment: Path, extras: str) -> Path:
    """Make a bare environment with the wheel; the path of its `setpoint`."""
    venv.create(environment, with_pip=True)
    wanted = f"{wheel}[{extras}]" if extras else str(wheel)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "-c", str(ROOT / "constraints.txt"), wanted], ROOT)
    return environment / "bin" / "setpoint"


def run(words: list[str], folder: Path) -> str:
    """What a command prints in `folder`, with nothing of this environment on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SETPOINT", "VIRTUAL"))}
    return subprocess.run(words, cwd=folder, env=kept, stdout=subprocess.PIPE, text=True, check=True).stdout


def tried(setpoint: str, folder: Path, *, demo: bool) -> list[str]:
    """Run what works without a clone of the repository; one line for each command."""
    systems = len(json.loads(run([setpoint, "systems", "--json"], folder)))
    evaluate = [setpoint, "evaluate", "--controller", "lqr", "--system", "double_integrator", "--json"]
    run(evaluate, folder)
    run([setpoint, "experiment", "plan", "--demo"], folder)
    run([setpoint, "init", "sweep.yaml"], folder)
    lines = [run([setpoint, "--version"], folder).strip(), f"{systems} systems", "evaluate --controller lqr: ok"]
    if demo:
        run([setpoint, "experiment", "run", "--demo", "--quiet"], folder)
        lines.append("experiment run --demo: ok")
    return lines


def main(words: list[str]) -> int:
    """Build, install and try; print what was tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with", dest="extras", default="", metavar="EXTRAS", help="extras, such as train,report")
    extras = parser.parse_args(words).extras
    dist = ROOT / "dist"
    dist.mkdir(exist_ok=True)
    for old in dist.glob("setpoint-*.whl"):
        old.unlink()
    wheel = built(dist)
    with tempfile.TemporaryDirectory() as folder:
        setpoint = installed(wheel, Path(folder, "bare"), extras)
        print("\n".join([wheel.name, *tried(str(setpoint), Path(folder), demo="train" in extras.split(","))]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
