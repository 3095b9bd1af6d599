"""An experiment on a SLURM cluster: its scripts, their submission, and what their end means for its stages."""
