"""LoRA fine-tuning on TRL and PEFT, and the recipe of the built-in base. Nothing heavy is imported here."""
