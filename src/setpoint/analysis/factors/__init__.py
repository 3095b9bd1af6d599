"""Claims about swept parameters: effects, interactions, best levels, detectable differences."""
