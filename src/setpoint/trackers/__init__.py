"""Finished results in the formats of experiment trackers."""
