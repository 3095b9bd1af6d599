#!/usr/bin/env python
"""Train a universal model: the same as `setpoint train` with several systems."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
