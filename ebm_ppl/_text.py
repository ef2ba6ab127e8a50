"""Text that came from files, as a terminal or a page may show it."""

LIMIT = 400
"""Characters of a message that somebody reads; what a file holds may be of any length."""


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
        xxxxxx … (52 characters left out) … yy
    """
    if len(text) > limit:
        tail = limit // 4
        left_out = f" … ({len(text) - limit:,} characters left out) … "
        text = text[: limit - tail] + left_out + text[len(text) - tail :]
    return "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
