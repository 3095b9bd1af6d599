"""The only conversion between numbers and text: prompts, answers, and the prompt format of a base model."""

from setpoint.language.answers import (
    ParseFailure,
    compose_answer,
    format_moves,
    has_moves,
    longest_answer,
    parse_answer,
)
from setpoint.language.config import AnswerParameters, GenerationParameters, PromptParameters, Template
from setpoint.language.grammar import Grammar, answer_grammar
from setpoint.language.numbers import format_number, format_vector
from setpoint.language.prompt_format import PromptFormat
from setpoint.language.prompts import Message, messages, short_prompt

__all__ = [
    "AnswerParameters",
    "GenerationParameters",
    "Grammar",
    "Message",
    "ParseFailure",
    "PromptFormat",
    "PromptParameters",
    "Template",
    "answer_grammar",
    "compose_answer",
    "format_moves",
    "format_number",
    "format_vector",
    "has_moves",
    "longest_answer",
    "messages",
    "parse_answer",
    "short_prompt",
]
