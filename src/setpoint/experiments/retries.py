"""How often a stage is tried again by itself, by the class of its failure."""

from collections.abc import Mapping

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
RESUMED = frozenset({"storage"})
"""Classes that stop the experiment, and that are tried again when it is taken up."""
