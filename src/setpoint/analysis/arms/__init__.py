"""Claims about arms that share systems and seeds: strategies, specialist and universal models, transfer."""
