"""Text that came from files, as a terminal or a page may show it."""

LIMIT = 400
"""Characters of a message that somebody reads; what a file holds may be of any length."""

DIRECTIONS = "\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks that turn the direction of the text after them, for the brackets of a regular expression."""


def printable(text: str, limit: int = LIMIT) -> str:
    r"""Write text in one line that can neither move the cursor nor turn the direction of what follows.

    Control characters (escape sequences and line ends among them), those that set the direction of text,
    those without a width, and lone surrogates become their escapes, as in Python's own `repr`. What is longer
    than `limit` loses its middle: the beginning says what it is about, the end often what to do.

    Args:
        text: The text.
        limit: Most characters to keep.

    Returns:
        The text in printable characters and spaces.

    Examples:
        >>> print(printable("a\x1b[2Jb\nError: none \u202egnp.exe, π"))
        a\x1b[2Jb\nError: none \u202egnp.exe, π
        >>> print(printable("x" * 30 + "y" * 30, limit=8))
        xxxxxx … (of 60 characters) … yy
    """
    head = _escaped(text[:limit])
    if len(text) <= limit and len(head) <= limit:
        return head
    tail = limit // 4
    end = _escaped(text[-tail:])[-tail:]
    return f"{head[: limit - tail]} … (of {len(text):,} characters) … {end}"


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
