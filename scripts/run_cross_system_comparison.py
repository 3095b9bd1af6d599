#!/usr/bin/env python
"""Compare specialists and universal models: `setpoint experiment run --experiment-type cross_system`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["experiment", "run", "--experiment-type", "cross_system", *sys.argv[1:]]))
