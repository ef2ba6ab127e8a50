"""Refusals of the command line: one clear sentence, and names that are nearly right."""

import difflib
from collections.abc import Collection, Iterable
from typing import NoReturn

import click

from ebm_ppl.cli._width import wrapped


class Refusal(click.BadParameter):
    """Arguments that were not understood, in lines that break between words."""

    def format_message(self) -> str:
        """The sentence that stands behind click's own `Error: `."""
        return wrapped(super().format_message(), initial="Error: ", always=True)


def refuse(option: str, message: str) -> NoReturn:
    """Leave with exit status 2 and a sentence about an option."""
    raise Refusal(message, param_hint=f"'{option}'")


def check_names(option: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse a name that is not known, with the nearest that is."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            refuse(
                option, f"{name!r} is not known{hint} `ebm-ppl validate --help` lists the names."
            )


def listing(title: str, names: Iterable[str]) -> str:
    """A paragraph of a command's help that lists names, none of them broken between lines."""
    text = ", ".join(repr(name) if "," in name else name for name in names)
    lines = wrapped(text, initial="  ", subsequent="  ", width=78)
    return f"\b\n{title}:\n  {lines}"
