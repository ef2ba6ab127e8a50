"""Files that exist whole or not at all."""

import os
import pathlib

from ebm_ppl._files import write_bytes


def write_text(path: str | os.PathLike[str], text: str) -> pathlib.Path:
    """Write a UTF-8 file; a reader never sees half of it.

    Args:
        path: Where to write; missing folders are made.
        text: The contents.

    Returns:
        The path.
    """
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Names of files may hold bytes that are no text, as lone surrogates; so written JSON reads them back.
    write_bytes(target, text.encode(errors="backslashreplace"))
    return target
