#!/usr/bin/env python
"""Write the batch scripts of an experiment for a SLURM cluster: the same as `setpoint slurm generate`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["slurm", "generate", *sys.argv[1:]]))
