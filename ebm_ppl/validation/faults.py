"""Where something went wrong: the file, the line and the traceback of an error, for a reader."""

import pathlib
import sysconfig
import traceback
from typing import NamedTuple

import ebm_ppl

_OURS = pathlib.Path(ebm_ppl.__file__).parent
_INSTALLED = tuple(
    pathlib.Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")
)


class Fault(NamedTuple):
    """Where an error arose.

    Attributes:
        place: `file:line` of the innermost code that is the user's own, or else of ours; empty if neither.
        traceback: The traceback without the frames of installed packages.
    """

    place: str
    traceback: str


def fault_of(error: BaseException) -> Fault:
    """Find where an error arose."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_installed(f.filename)]
    foreign = [frame for frame in frames if not _is_ours(frame.filename)]
    place = ""
    if frames:
        innermost = (foreign or frames)[-1]
        place = f"{innermost.filename}:{innermost.lineno}"
    lines = ["Traceback (most recent call last):\n"] if frames else []
    lines += traceback.StackSummary.from_list(frames).format()
    return Fault(place, "".join([*lines, *traceback.format_exception_only(error)]).rstrip())


def _is_ours(filename: str) -> bool:
    return pathlib.Path(filename).is_relative_to(_OURS)


def _is_installed(filename: str) -> bool:
    path = pathlib.Path(filename)
    if _is_ours(filename):
        return False
    return filename.startswith("<") or any(path.is_relative_to(root) for root in _INSTALLED)
