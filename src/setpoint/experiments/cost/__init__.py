"""Cost of a plan: estimates, calibration, budgets, memory, and number of workers."""
