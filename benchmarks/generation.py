"""Answers per minute of this package against plain `transformers.generate`, on the built-in and on a real base.

Usage: python benchmarks/generation.py [--bases builtin:tiny,smollm2-135m] [--cases 64] [--repeat 3]

Every row generates the answers of one plan of closed loop for the same states, greedily, with one thread:

plain         transformers.generate on whole prompts, eight at a time, up to the token limit of a complete answer
same batch    the same, with the batch size of this package
setpoint      shared prefix computed once, stop after the moves that are needed
constrained   the same with a token mask and forced tokens

"needed" is the first move, as when replanning at every step, or every move of the compact format.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from setpoint import problems
from setpoint.language import messages
from setpoint.policies import resolve_base
from setpoint.policies.controller import LLMController, answer_limit
from setpoint.policies.language_model import LanguageModel

STEPS = (5, 1)
PLAIN_BATCH = 8


def plain(model: LanguageModel, chats: Sequence[list[dict[str, str]]], limit: int, batch: int) -> int:
    """Generate with transformers alone; return the number of tokens."""
    tokenizer, inner = model._tokenizer, model._model
    tokens = 0
    for start in range(0, len(chats), batch):
        texts = [
            tokenizer.apply_chat_template(list(chat), add_generation_prompt=True, tokenize=False)
            for chat in chats[start : start + batch]
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            output = inner.generate(
                **inputs,
                max_new_tokens=limit,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=sorted(model._end_tokens()),
            )
        tokens += output[:, inputs["input_ids"].shape[1] :].numel()
    return tokens


def fastest(run: Callable[[], object], repeat: int) -> float:
    """Return the shortest of several times, in seconds of CPU."""
    times = []
    for _ in range(repeat):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def compare(name: str, cases: int, repeat: int) -> None:
    """Print the rows of one base."""
    problem, base = problems.get("double_integrator"), resolve_base(name)
    model = LanguageModel.load(base)
    torch.set_num_threads(1)
    form = base.preset.prompt_format
    states = problem.initial_states(cases, "benchmark")
    chats = [messages(problem, state, form) for state in states.tolist()]
    limit = answer_limit(base.preset, problem, form, None, model.count_tokens)
    free, bound = (
        LLMController(problem, model, base.preset, form, constrained=constrained) for constrained in (False, True)
    )
    for steps in STEPS:
        moves = f"{form.blocking.moves_covering(steps)} of {form.blocking.moves}"
        rows: dict[str, Callable[[], object]] = {
            "plain": partial(plain, model, chats, limit, PLAIN_BATCH),
            "same batch": partial(plain, model, chats, limit, model._runtime.generation_batch_size),
            "setpoint": partial(free.plan, 0.0, states, steps),
            "constrained": partial(bound.plan, 0.0, states, steps),
        }
        first = 0.0
        for label, run in rows.items():
            seconds = fastest(run, repeat)
            first = first or seconds
            rate, ratio = 60 * cases / seconds, first / seconds
            print(f"{name:<14} {moves:<9} {label:<12} {seconds:>8.2f} {rate:>10.0f} {ratio:>6.2f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bases", default="builtin:tiny,smollm2-135m")
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'base':<14} {'needed':<9} {'generator':<12} {'CPU s':>8} {'cases/min':>10} {'ratio':>6}")
    for name in arguments.bases.split(","):
        compare(name, arguments.cases, arguments.repeat)


if __name__ == "__main__":
    main()
