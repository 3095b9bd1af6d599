"""Run a plan: coordinator, lease, links to models, and the state of every run."""
