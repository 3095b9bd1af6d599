"""From files to claims: read an experiment, test what its frozen plan declared, and say what the data carry.

experiment   plan, stages and episodes on disk -> ExperimentData, one RunResult per run
quantities   the metrics, their units and which direction is better
cells, effects, levels, intervals, failures   statistics as functions of arrays
design       runs and a metric -> Factorial, the cells that can be analysed, or why there are none
claims       Claim: a sentence with the numbers that earn it
sweep, improvement, reliability   ExperimentData -> Claims

Nothing here runs an experiment or writes a file.
"""
