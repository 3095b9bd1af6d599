#!/usr/bin/env python
"""Generate a dataset: the same as `setpoint data generate`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["data", "generate", *sys.argv[1:]]))
