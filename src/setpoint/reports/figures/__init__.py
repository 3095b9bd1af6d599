"""Figures as Vega-Lite specifications: one for the page, for files and for notebooks."""

from setpoint.reports.figures.spec import Figure

__all__ = ["Figure"]
