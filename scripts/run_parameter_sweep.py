#!/usr/bin/env python
"""Run a parameter sweep: the same as `setpoint experiment run`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["experiment", "run", *sys.argv[1:]]))
