#!/usr/bin/env python
"""List trained models: the same as `setpoint models list`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["models", "list", *sys.argv[1:]]))
