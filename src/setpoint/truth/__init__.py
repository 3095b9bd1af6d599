"""Simulated experiments with known ground truth, which check error rates and coverage of the claims.

planted      one simulated experiment with its ground truth, in memory
folders      the same as an ordinary experiment folder
worlds       generators: designs, effects, variances, failures
grading      claims and ground truth -> which claims are wrong
scenarios    what is simulated, which quantities are graded, and their targets
verification runs scenarios and tabulates the results
"""
