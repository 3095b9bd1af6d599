"""Claims about runs and configurations: failures, gains over the base, the best set, confirmations."""
