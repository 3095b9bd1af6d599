"""Predicted against actual cost of three different sweeps, each predicted before it ran.

CPU seconds, for they do not depend on what else the machine is doing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from setpoint.artifacts import Workspace, read_json
from setpoint.demonstrations import Recipe, create

TOLERANCE = 0.25
ROWS = 400
SWEEPS = {
    "ranks, SFT alone": "--systems double_integrator --training-type sft --lora-ranks 4,8,16 --set sft.steps=60",
    "temperatures, SFT and GRPO": "--systems van_der_pol --parameters grpo.temperature:0.7,1.0 "
    "--set sft.steps=40 grpo.steps=10 grpo.batch_size=32",
    "rates, GRPO from scratch": "--systems pendulum --training-type grpo --learning-rates 1e-4,2e-4 --replicates 2 "
    "--set grpo.steps=15 grpo.batch_size=16",
}
SMALL = "--evaluation-cases 20 --dataset-name three --calibrate --quiet"


def run(identifier: str, options: str, root: Path) -> dict[str, float]:
    """The cost block of estimate.json after the sweep."""
    words = [*options.split(), *SMALL.split(), "--experiment-id", identifier, "--workspace", str(root)]
    command = [sys.executable, "-m", "setpoint", "experiment", "run", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    record = read_json(Workspace(root).experiment(identifier) / "estimate.json")
    low, high = record["predicted"]["cpu_s_interval"]
    return {**record["actual"], "low": low, "high": high}


def main() -> int:
    """Print the ratios; 1 where one is further from 1 than the tolerance."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        systems = ("double_integrator", "van_der_pol", "pendulum")
        create(Workspace(root), "three", Recipe(systems=systems, total_samples=3 * ROWS), workers=1)
        for number, (name, options) in enumerate(SWEEPS.items()):
            cost = run(f"sweep-{number}", options, root)
            ratio = cost["actual_over_predicted"]
            good &= abs(ratio - 1.0) <= TOLERANCE and cost["stages_finished"] == cost["stages_predicted"]
            interval = f"(90 %: {cost['low']:.1f} to {cost['high']:.1f})"
            print(f"{name}: predicted {cost['predicted_cpu_s']:.1f} s of one core {interval}, ", end="")
            print(f"actual {cost['cpu_s']:.1f} s, ratio {ratio:.2f}, {cost['stages_finished']} stages", flush=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
