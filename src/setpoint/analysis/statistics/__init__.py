"""Estimators, tests and intervals as functions of arrays; nothing here knows an experiment."""
