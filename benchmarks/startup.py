"""Start-up of the command line against the bare interpreter, in turn, so that a busy machine slows both.

Prints medians in milliseconds and their ratio, and what an import of the training stack costs for comparison.
"""

import subprocess
import sys
from statistics import median
from time import perf_counter

ROUNDS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "setpoint --help": [sys.executable, "-m", "setpoint", "--help"],
}
TRAINING = [sys.executable, "-c", "import trl.trainer.grpo_trainer"]


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    started = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - started


def main() -> None:
    """Print the table."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    bare, ours = (1000 * median(values) for values in times.values())
    for name, values in times.items():
        print(f"{name:<34} {1000 * median(values):8.1f} ms (median of {ROUNDS})")
    print(f"{'import of the training stack':<34} {1000 * median(seconds(TRAINING) for _ in range(3)):8.1f} ms")
    print(f"setpoint --help / bare interpreter {ours / bare:8.2f}x")


if __name__ == "__main__":
    main()
