"""Typed records of an experiment's files, shared by writers and readers."""
