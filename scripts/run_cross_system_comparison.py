#!/usr/bin/env python
"""Compare specialists with universal models: the same as `setpoint experiment run --experiment-type cross_system`."""

import sys

from setpoint.cli.main import main

if __name__ == "__main__":
    named = any(word.partition("=")[0] == "--experiment-type" for word in sys.argv)
    kind = [] if named else ["--experiment-type", "cross_system"]
    sys.exit(main(["experiment", "run", *kind, *sys.argv[1:]]))
