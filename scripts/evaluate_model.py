#!/usr/bin/env python
"""Evaluate a trained model: the same as `setpoint evaluate`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
