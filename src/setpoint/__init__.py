"""Setpoint: train language models to control dynamical systems, and find out which training works."""

__version__ = "0.1.0"
