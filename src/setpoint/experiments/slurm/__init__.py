"""Run an experiment on a SLURM cluster: scripts, submission, and the outcome of jobs."""
