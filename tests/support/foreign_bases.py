"""Small bases of other families: random weights, the tokenizer classes and chat templates of the real ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LLAMA = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + "
    "'<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_QWEN_2_5 = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}" + _CHATML
)
_QWEN_3 = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
_GEMMA_TURNS = (
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_GEMMA_2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + _GEMMA_TURNS
)
_GEMMA_3 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set prefix = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set prefix = '' %}{% endif %}"
    "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "(prefix if loop.first else '') + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
_PHI_3 = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST]' + (system if loop.first else '') + m['content'] + "
    "'[/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Family:
    """One family of models.

    Attributes:
        config: name of the configuration class in transformers.
        tokenizer: name of the tokenizer class.
        template: chat template.
        end: token that ends an answer.
        marks: tokens of the template.
        options: further fields of the configuration.
        folded: whether the template has no system role.
    """

    config: str
    tokenizer: str
    template: str
    end: str
    marks: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    folded: bool = False


_WINDOW = (("sliding_window", 64),)
FAMILIES: dict[str, Family] = {
    "llama": Family(
        "LlamaConfig", "LlamaTokenizer", _LLAMA, "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")
    ),
    "qwen2.5": Family("Qwen2Config", "Qwen2Tokenizer", _QWEN_2_5, "<|im_end|>", ("<|im_start|>",)),
    "qwen3": Family("Qwen3Config", "Qwen2Tokenizer", _QWEN_3, "<|im_end|>", ("<|im_start|>",)),
    "gemma2": Family(
        "Gemma2Config", "GemmaTokenizer", _GEMMA_2, "<end_of_turn>", ("<start_of_turn>",), _WINDOW, folded=True
    ),
    "gemma3": Family("Gemma3TextConfig", "GemmaTokenizer", _GEMMA_3, "<end_of_turn>", ("<start_of_turn>",), _WINDOW),
    "phi3": Family("Phi3Config", "LlamaTokenizer", _PHI_3, "<|end|>", ("<|system|>", "<|user|>", "<|assistant|>")),
    "gpt2": Family("GPT2Config", "GPT2Tokenizer", _CHATML, "<|im_end|>", ("<|im_start|>",)),
    "mistral": Family("MistralConfig", "LlamaTokenizer", _MISTRAL, "</s>", ("[INST]", "[/INST]"), _WINDOW),
}


def write_base(name: str, folder: Path) -> Path:
    """Write the base of a family and return its folder."""
    import torch
    import transformers

    family = FAMILIES[name]
    tokenizer = _tokenizer(family)
    end = tokenizer.convert_tokens_to_ids(family.end)
    fields = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": end, "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, family.config)(**{**fields, **dict(family.options)})
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder


def _tokenizer(family: Family) -> Any:
    import transformers
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    if family.tokenizer in {"LlamaTokenizer", "GemmaTokenizer"}:
        bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
        words = ["<pad>", "<eos>", "<bos>", "<unk>", "<s>", "</s>", *bytes_, "▁", *map(chr, range(33, 127))]
    else:
        words = list(bytes_to_unicode().values())
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = getattr(transformers, family.tokenizer)(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": [family.end, *family.marks]})
    if tokenizer.bos_token is None:
        tokenizer.bos_token = tokenizer.eos_token
    tokenizer.eos_token = family.end
    if tokenizer.pad_token is None:
        tokenizer.pad_token = family.end
    tokenizer.chat_template = family.template
    return tokenizer
