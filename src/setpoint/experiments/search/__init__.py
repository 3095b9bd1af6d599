"""Adaptive search over the swept values: samplers of Optuna, without its storage.

The history is the plan and its results; every proposal has a new sampler with its own seed, which is told the history.
So the same results lead to the same trials, whenever a search is resumed and however many workers it has.
"""
