"""Tools to test with: faults that are injected on purpose. Nothing here is active unless it is asked for."""
