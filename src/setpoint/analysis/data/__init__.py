"""An experiment's results as typed values: read from disk or from a table, with names, units and claims."""
