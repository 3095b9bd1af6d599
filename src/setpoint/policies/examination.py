"""Examine the tokenizer and chat template of a base model in a process with limits: `python -m` with JSON on stdin.

A chat template is a program that came with the model. It may take for ever or all memory, so that it is first rendered
here, where only this process ends.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

RENDERING_S = 30
"""Time for loading the tokenizer and rendering the chats, after which SIGALRM ends the process."""
_RENDERING_BYTES = 2_000_000_000
"""Memory on top of what the libraries take."""


def examine(location: str, chats: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a base does with some chats, or why it cannot be used.

    Args:
        location: folder of the base.
        chats: for each, its `name`, its `messages` and the `answer` to them.
    """
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    from setpoint.errors import InputError
    from setpoint.policies.chat import ChatTokens

    try:
        config = AutoConfig.from_pretrained(location, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(location, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the libraries raise what their parsers raise
        return {"problem": f"it cannot be loaded ({type(error).__name__}: {str(error).partition(chr(10))[0]})"}
    try:
        generation = GenerationConfig.from_pretrained(location, local_files_only=True)
    except Exception:  # the file is optional, and only its end tokens would be taken
        generation = GenerationConfig()
    declared = generation.eos_token_id if generation.eos_token_id is not None else config.eos_token_id
    try:
        tokens = ChatTokens.of(tokenizer, declared if isinstance(declared, list) else [declared])
        lengths = {
            chat["name"]: (len(tokens.prompt(chat["messages"])), len(tokens.answer(chat["messages"], chat["answer"])))
            for chat in chats
        }
        largest = max([*tokens.ends, tokenizer.pad_token_id, *(max(tokens.prompt(c["messages"])) for c in chats)])
    except InputError as error:
        return {"problem": str(error)}
    return {
        "folds_system": tokens.folds_system,
        "appends_end": tokens.appends_end,
        "lengths": lengths,
        "largest_token": largest,
        "vocabulary": getattr(config, "vocab_size", None),
        "context": getattr(config, "max_position_embeddings", None),
        "ignored": sorted(set(generation.to_diff_dict()) - _NOT_SAMPLING),
    }


_NOT_SAMPLING = frozenset(
    {"eos_token_id", "pad_token_id", "bos_token_id", "transformers_version", "_from_model_config", "do_sample"}
)


def _limit_rendering() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(RENDERING_S)
    pages = int(open("/proc/self/statm", encoding="ascii").read().split()[0])  # noqa: PTH123, SIM115
    most = pages * os.sysconf("SC_PAGE_SIZE") + _RENDERING_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Read the request from stdin, and print the result on stdout."""
    import transformers  # noqa: F401 (before the limits: the libraries take much memory)

    request = json.load(sys.stdin)
    _limit_rendering()
    try:
        found = examine(request["location"], request["chats"])
    except MemoryError:
        found = {"problem": "its chat template takes too much memory to render"}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
