"""Datasets of optimal control: sampled, solved, split by trajectory and stored as Parquet with a manifest."""

from setpoint.demonstrations.dataset import (
    DatasetInfo,
    Rows,
    damage_text,
    damaged_files,
    list_datasets,
    load_rows,
    open_dataset,
    verify_files,
)
from setpoint.demonstrations.library import changed_problems, create, ensure
from setpoint.demonstrations.recipe import (
    DEFAULT_ROWS,
    EXPERTS,
    MAX_ROWS,
    SPLITS,
    Expert,
    Recipe,
    Split,
    canonical_systems,
)

__all__ = [
    "DEFAULT_ROWS",
    "EXPERTS",
    "MAX_ROWS",
    "SPLITS",
    "DatasetInfo",
    "Expert",
    "Recipe",
    "Rows",
    "Split",
    "canonical_systems",
    "changed_problems",
    "create",
    "damage_text",
    "damaged_files",
    "ensure",
    "list_datasets",
    "load_rows",
    "open_dataset",
    "verify_files",
]
