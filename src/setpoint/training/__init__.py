"""LoRA fine-tuning with TRL and PEFT; heavy libraries are imported lazily."""
