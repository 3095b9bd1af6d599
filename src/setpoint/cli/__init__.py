"""Command-line interface: one module per verb, imported on demand."""
