"""A sweep against the shell loop that it replaces: the same runs one by one with `train_single_system.py`.

Both start with the same data set and make the same stages; only the wall time differs. The loop starts Python, torch
and the trainers for every stage anew, and runs one stage at a time.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from setpoint.artifacts import Workspace, read_json
from setpoint.demonstrations import Recipe, create

SCRIPTS = Path(__file__).parents[1] / "scripts"
SWEEPS = {
    "sft": ["--training-type", "sft", "--parameters", "lora_rank:4,8,16,32", "learning_rate:1e-4,2e-4,5e-4"],
    "both": ["--training-type", "both", "--parameters", "grpo.temperature:0.7,1.0,1.3", "--lora-ranks", "4,8"],
}
FEW = {
    "sft": ["--training-type", "sft", "--parameters", "lora_rank:4,8", "learning_rate:1e-4,2e-4,5e-4"],
    "both": ["--training-type", "both", "--parameters", "grpo.temperature:0.7,1.0,1.3"],
}
"""The same with half the runs; the more runs there are, the more the start-up of a sweep pays."""
BOUNDS = {"sft": 4.0, "both": 2.0}
SMALL = ["--set", "sft.steps=20", "grpo.steps=4", "grpo.batch_size=16", "--evaluation-cases", "10"]


def timed(words: list[str]) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.monotonic()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def measure(name: str, folder: Path, axes: list[str]) -> tuple[float, float, bool]:
    """Wall seconds of the loop and of the sweep, and whether their adapters are equal byte for byte."""
    places = {kind: folder / f"{name}-{kind}" for kind in ("loop", "sweep")}
    settings = [word for word in SMALL if name == "both" or not word.startswith("grpo.")]
    for place in places.values():
        create(Workspace(place), "small", Recipe(systems=("double_integrator",), total_samples=400), workers=1)
    sweep = ["--systems", "double_integrator", "--dataset-name", "small", *axes, *settings]
    plan = [sys.executable, "-m", "setpoint", "experiment", "plan", *sweep, "--commands", "--workspace", places["loop"]]
    commands = subprocess.run(plan, check=True, capture_output=True, text=True).stdout.splitlines()
    loop_s = sum(timed([str(SCRIPTS / "train_single_system.py"), *shlex.split(text)[2:]]) for text in commands)
    sweep_s = timed([str(SCRIPTS / "run_parameter_sweep.py"), *sweep, "--workspace", str(places["sweep"])])
    found = [
        {path.parent.name: read_json(path)["files"] for path in sorted(place.glob("stages/*/*/manifest.json"))}
        for place in places.values()
    ]
    return loop_s, sweep_s, json.dumps(found[0], sort_keys=True) == json.dumps(found[1], sort_keys=True)


def main() -> int:
    """Print the ratios; 1 where the results differ or a ratio is too small."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", action="store_true", help="half the runs")
    parser.add_argument("--sweeps", type=lambda text: text.split(","), default=list(SWEEPS))
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sweeps:
            loop_s, sweep_s, same = measure(name, Path(folder), (FEW if arguments.few else SWEEPS)[name])
            ratio = loop_s / sweep_s
            good &= same and ratio >= BOUNDS[name]
            results = "equal results" if same else "DIFFERENT RESULTS"
            times = f"{ratio:.2f} times (bound {BOUNDS[name]:g})"
            print(f"{name}: shell loop {loop_s:.1f} s, sweep {sweep_s:.1f} s: {times}, {results}", flush=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
