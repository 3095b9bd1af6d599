"""Estimators, tests and confidence intervals as functions of arrays."""
