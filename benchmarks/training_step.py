"""CPU time of an SFT step of a real base, with the output layer at every position and at the labels only.

Usage: python benchmarks/training_step.py [--base smollm2-135m] [--repeat 3]

One step is a batch of eight examples of the double integrator, forward and backward, with LoRA on all linear layers.
"""

import argparse
import time
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from trl.trainer import utils

from setpoint import problems
from setpoint.language import longest_answer, messages
from setpoint.policies import resolve_base
from setpoint.policies.language_model import load_base
from setpoint.policies.runtime import Runtime
from setpoint.training.label_positions import score_labels_only

BATCH = 8


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", default="smollm2-135m")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = resolve_base(arguments.base)
    loaded, tokenizer = load_base(base, Runtime.detect(base.preset))
    torch.set_num_threads(1)
    utils.add_fused_lm_head(loaded, outputs=("log_probs", "entropy", "is_top1"))
    model = get_peft_model(loaded, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    problem, form = problems.get("double_integrator"), base.preset.prompt_format
    prompt = tokenizer.apply_chat_template(messages(problem, [0.1, -0.2], form), add_generation_prompt=True)
    prompt = prompt if isinstance(prompt, list) else prompt["input_ids"]
    answer = tokenizer(longest_answer(problem, form.blocking.moves, form), add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + answer] * BATCH)
    labels = torch.tensor([[-100] * len(prompt) + answer] * BATCH)
    print(f"{base.name}: {len(prompt)} prompt tokens, {len(answer)} answer tokens, batch {BATCH}")
    every = _cpu_s(model, ids, labels, arguments.repeat)
    score_labels_only()
    labelled = _cpu_s(model, ids, labels, arguments.repeat)
    print(f"every position {every:.2f} CPU s, labels only {labelled:.2f} CPU s, ratio {every / labelled:.2f}")


def _cpu_s(model: Any, ids: torch.Tensor, labels: torch.Tensor, repeat: int) -> float:
    times = []
    for _ in range(repeat):
        begin = time.process_time()
        (-model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs.sum()).backward()
        model.zero_grad()
        times.append(time.process_time() - begin)
    return min(times)


if __name__ == "__main__":
    main()
