"""Sets every reference of a docstring on lines of its own, which Markdown would run together."""

import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(\s*)References:\n((?:\1\s+\S.*\n?)+)", flags=re.MULTILINE)
_YEAR = re.compile(r"\((?:1[89]|20)\d\d\)")


class SeparateReferences(griffe.Extension):
    """Puts a blank line before each reference but the first of a section."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a module, class or function."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(_separated, obj.docstring.value)


def _separated(section: re.Match[str]) -> str:
    lines = [f"{section[1]}References:"]
    for line in section[2].splitlines():
        begins = _YEAR.search(line) is not None and lines[-1].endswith(".")
        lines += ["", line] if begins else [line]
    return "\n".join(lines) + "\n"
