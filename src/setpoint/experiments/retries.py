"""How often a stage is tried again by itself, by the class of its failure."""

from collections.abc import Mapping

from setpoint.execution.failures import SUGGESTIONS

# A failure that says something about the configuration is a result and is never tried again by itself.
RETRIES: Mapping[str, int] = {
    "crash": 1,
    "lost": 1,
    "transient": 2,
    "node_failure": 2,
    "stalled": 1,
    "host_oom": 1,
    "timeout": 3,
    "preempted": 5,
    "corrupt_artifact": 2,
}
RESULTS = frozenset({"diverged", "no_learning_signal"})
"""Failures that follow from the configuration: another experiment that asks for the same stage is told the same."""
FAILURE_CLASSES = frozenset({*SUGGESTIONS, *RETRIES, *RESULTS})
"""All that there are."""
RESUMED = frozenset({"storage"})
"""Classes that stop the experiment, and that are tried again when it is taken up."""
