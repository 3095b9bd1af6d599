"""An experiment in one file: written, checked and recomputed elsewhere."""
