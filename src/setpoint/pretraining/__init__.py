"""The recipe of the built-in base model: random plants, their optima as text, a tokenizer, and pre-training."""
