"""Pre-training of the built-in base model: random plants, optimal answers as text, tokenizer and training."""
