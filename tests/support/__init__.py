"""Helpers that several tests share. Child processes find them with `TESTS` on their Python path."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
