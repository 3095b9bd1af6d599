"""Claims about training arms: strategies, specialist and universal models, transfer."""
