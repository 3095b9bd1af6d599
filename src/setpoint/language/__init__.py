"""Numbers to text and back, and nowhere else: prompts, answers, and the dialect a base model is spoken to in."""

from setpoint.language.answers import ParseFailure, compose_answer, format_moves, parse_answer
from setpoint.language.dialect import Dialect, Template
from setpoint.language.numbers import format_number, format_vector
from setpoint.language.prompts import Message, messages, short_prompt

__all__ = [
    "Dialect",
    "Message",
    "ParseFailure",
    "Template",
    "compose_answer",
    "format_moves",
    "format_number",
    "format_vector",
    "messages",
    "parse_answer",
    "short_prompt",
]
