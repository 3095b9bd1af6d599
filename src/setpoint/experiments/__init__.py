"""From a specification to a plan of deduplicated stages, and from the plan to results that survive interruption.

planning    specification, designs and parameters -> plan
cost        what a plan takes: estimates, calibration, budgets, memory, workers
running     the coordinator, its lease and journal, and the state of runs
slurm       scripts and jobs of an experiment on a cluster
request     which experiment a specification is
preflight   checks of this machine
launch      prepare and run
"""
