"""Reference controllers over a whole suite, for the tables of the documentation and `setpoint baselines`."""
