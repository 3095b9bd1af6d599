"""Text from elsewhere, made safe for terminals, logs and pages.

Names, messages and column titles come from files that somebody else may have written. Control characters in them could
move the cursor or recolour a terminal, line breaks could fake further lines, and bidirectional marks could reorder what
is read.
"""

import unicodedata
from typing import Any

LONGEST_MESSAGE = 440
"""Maximum number of characters of a message, without its prefix."""
_REMEDY = 160
"""Characters kept at the end of a message that is too long, where the remedy is."""
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, invisible marks, lone surrogates, and line separators."""


def escaped(text: str, keep: str = "\n\t") -> str:
    """Return `text` with control characters, invisible marks and lone surrogates as JSON escapes such as `\\u001b`.

    Args:
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        _escape(c) if not c.isprintable() and c not in keep and unicodedata.category(c) in _UNSAFE else c for c in text
    )


def one_line(text: str) -> str:
    """Return `text` without line breaks, and with other control characters escaped."""
    return escaped(" ".join(text.split()), keep="")


def message_line(text: str) -> str:
    """Return `text` as one line of at most `LONGEST_MESSAGE` characters; a longer one loses its middle."""
    line = one_line(text)
    if len(line) <= LONGEST_MESSAGE:
        return line
    return f"{line[: LONGEST_MESSAGE - _REMEDY - 3]} … {line[-_REMEDY:]}"


def _escape(character: str) -> str:
    code = ord(character)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)  # JSON has no escape beyond 16 bits
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


class EscapingStream:
    """A text stream that escapes what is printed to it; everything else is that of the stream inside."""

    def __init__(self, stream: Any) -> None:
        """Wrap the text stream `stream`."""
        self.inside = stream

    def write(self, text: str) -> int:
        """Write `text` with its control characters escaped, and return the length of `text`."""
        self.inside.write(escaped(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the stream inside."""
        return getattr(self.inside, name)


def unescaped(stream: Any) -> Any:
    """Return the stream inside an `EscapingStream`, for programs that draw on a terminal; others unchanged."""
    return stream.inside if isinstance(stream, EscapingStream) else stream
