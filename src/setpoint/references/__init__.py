"""Reference controllers evaluated over a suite, for `setpoint baselines` and the documentation tables."""
