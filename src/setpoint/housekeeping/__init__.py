"""Disk usage of a workspace, and the removal of what nothing refers to."""
