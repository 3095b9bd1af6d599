"""Experiments whose truth is known, and how often the claims about them are right.

planted      one simulated experiment with its truth, in memory
folders      the same as an ordinary experiment folder
worlds       the generators: designs, effects, spreads, failures
grading      claims and a truth -> which of them are wrong
scenarios    what is simulated, which quantities are graded, and the numbers they must reach
verification runs scenarios and tabulates what was reached
"""
