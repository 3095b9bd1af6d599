"""Adaptive search over the swept values: samplers of Optuna, without its storage.

The history is the plan and its results; a sampler is made anew for every proposal, with a seed of its own, and told the
history. So the same results lead to the same trials, whenever a search is resumed and however many workers it has.
"""
