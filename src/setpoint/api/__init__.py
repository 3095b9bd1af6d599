"""Python API behind `import setpoint` and the command line.

control        systems, problems, simulation and optimal control
evaluation     controllers on test cases
specifications sweeps and the other experiment types
experiment     one experiment: plan, estimate, run, claims, results, report
running        how an experiment is run, here or on a cluster
results        tables of results and lists of claims
policies       trained adapters as controllers
tables         the same statistics on any table
designs        designs within a budget, and what they can detect
confirming     reruns of the best configurations of a sweep with new seeds
comparison     training arms compared over several experiments

The public names are in `setpoint.__all__`; everything else may change.
"""
