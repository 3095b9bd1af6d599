#!/usr/bin/env python
"""Train one model: the same as `setpoint train`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
