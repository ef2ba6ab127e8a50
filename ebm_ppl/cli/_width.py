"""Lines that fit the terminal and break between words."""

import os
import shutil
import sys
import textwrap


def wrapped(
    text: str,
    *,
    initial: str = "",
    subsequent: str = "    ",
    width: int | None = None,
    always: bool = False,
) -> str:
    """Break a line between words where the terminal ends; a line for a file or a pipe stays one.

    Args:
        text: The line.
        initial: What stands before it on the terminal.
        subsequent: What every further line begins with.
        width: Where to break it; by default where the terminal ends.
        always: Whether to break it though standard output is no terminal.
    """
    if width is None and not (always or "COLUMNS" in os.environ or sys.stdout.isatty()):
        return text
    lines = textwrap.wrap(
        text,
        width or shutil.get_terminal_size().columns,
        initial_indent=initial,
        subsequent_indent=subsequent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).removeprefix(initial)
