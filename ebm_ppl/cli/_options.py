"""Options that several commands have, with the refusals of their values."""

import pathlib

import click

from ebm_ppl.cli._refusal import refuse

MAX_SEED = 2**32 - 1


def _seed(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= MAX_SEED):
        refuse("--seed", f"must be an integer from 0 to {MAX_SEED}; got {value!r}.")
    return int(value)


seed_option = click.option(
    "--seed",
    metavar="INTEGER",
    callback=_seed,
    default="0",
    show_default=True,
    help="Where all random keys come from.",
)


def writable(
    _context: click.Context, parameter: click.Parameter, value: pathlib.Path | None
) -> pathlib.Path | None:
    """Refuse a file in a folder that does not exist before any work is done."""
    if value is not None and not value.absolute().parent.is_dir():
        refuse(parameter.opts[0], f"must lie in a folder that exists; got {str(value)!r}.")
    return value
