"""Files that exist whole or not at all."""

import os
import pathlib
import uuid


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file through a temporary one beside it, which takes its name once it is on the disk.

    A reader finds the old file or the new one, never a part of either, also if the program is killed
    or the machine loses power meanwhile.

    Args:
        path: Where to write; the folder must exist.
        content: The contents.

    Raises:
        OSError: If the file cannot be written.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
