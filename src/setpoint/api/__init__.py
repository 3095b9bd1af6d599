"""The Python interface: what `import setpoint` offers, and what the command line is built on.

control        systems, problems, simulation and optimal control
evaluation     controllers on test cases
specifications sweeps and the other experiment types
experiment     one experiment: plan, estimate, run, claims, results, report
running        how an experiment is run, here or on a cluster
results        tables of results and lists of claims
policies       trained adapters as controllers
tables         the same statistics on any table
designs        designs within a budget, and what they can detect
confirming     the best configurations of a sweep again, with new seeds
comparison     arms of training over several experiments

The names that users need are in `setpoint.__all__`; everything else may change.
"""
