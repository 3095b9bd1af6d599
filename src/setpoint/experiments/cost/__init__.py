"""What a plan takes: time, memory, and how many workers fit."""
