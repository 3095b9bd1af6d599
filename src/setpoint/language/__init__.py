"""The only conversion between numbers and text: prompts, answers, and the prompt format of a base model."""

from setpoint.language.answers import ParseFailure, compose_answer, format_moves, parse_answer
from setpoint.language.numbers import format_number, format_vector
from setpoint.language.prompt_format import PromptFormat, Template
from setpoint.language.prompts import Message, messages, short_prompt

__all__ = [
    "Message",
    "ParseFailure",
    "PromptFormat",
    "Template",
    "compose_answer",
    "format_moves",
    "format_number",
    "format_vector",
    "messages",
    "parse_answer",
    "short_prompt",
]
