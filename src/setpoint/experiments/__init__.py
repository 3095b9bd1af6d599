"""Plan and run experiments: specification -> plan of deduplicated stages -> results that survive interruption.

planning    specification, designs and parameters -> plan
cost        estimates, calibration, budgets, memory, workers
running     coordinator, lease, journal, and the state of runs
slurm       scripts and jobs of an experiment on a cluster
request     the new or existing experiment that a specification denotes
preflight   checks of this machine
launch      prepare and run
"""
