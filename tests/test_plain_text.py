"""Text from elsewhere cannot control a terminal, fake a line or fill a screen."""

import io
import json

import pytest

from setpoint.errors import unknown_name
from setpoint.plain_text import LONGEST_MESSAGE, EscapingStream, escaped, message_line, one_line


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain ×1.5 −3 °C\n", "plain ×1.5 −3 °C\n"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x9b2J", "\\u009b2J"),
        ("a\rb\bc", "a\\u000db\\u0008c"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("a\u2028b\u200bc\ufeff", "a\\u2028b\\u200bc\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\udb40\\udc41"),
    ],
)
def test_control_characters_and_invisible_marks_are_escaped(text: str, safe: str) -> None:
    assert escaped(text) == safe


def test_escaped_json_is_still_the_same_json() -> None:
    value = {"name": "a\x7f\x9f\u202e\U000e0041"}
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value


def test_a_line_is_one_line() -> None:
    assert one_line("first\nsetpoint: error: second\r\n\tthird") == "first setpoint: error: second third"


def test_a_long_message_keeps_its_beginning_and_its_remedy() -> None:
    line = message_line(f"the value {'x' * 5000} is too long. Give a shorter one.")
    assert len(line) == LONGEST_MESSAGE
    assert line.startswith("the value xxx") and line.endswith("x is too long. Give a shorter one.")


def test_a_stream_escapes_what_is_printed_to_it() -> None:
    inside = io.StringIO()
    stream = EscapingStream(inside)
    print("a\x1bb", file=stream)
    assert (inside.getvalue(), stream.closed) == ("a\\u001bb\n", False)


def test_a_list_of_known_names_is_clipped() -> None:
    text = str(unknown_name("column", "q" * 5000, [f"column_{number}" for number in range(1000)] + ["a\x1b"]))
    assert len(text) < LONGEST_MESSAGE
    assert "more." in text and "\x1b" not in text
