"""Files that exist whole or not at all."""

import os
import pathlib

from ebm_ppl._files import temporary_beside


def write_text(path: str | os.PathLike[str], text: str) -> pathlib.Path:
    """Write a UTF-8 file through a temporary one beside it; a reader never sees half of it.

    Args:
        path: Where to write; missing folders are made.
        text: The contents.

    Returns:
        The path.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
