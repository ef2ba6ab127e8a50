"""The console script `ebm-ppl`, which `python -m ebm_ppl` runs, too."""

from typing import Any

import click

# JAX, Matplotlib and ArviZ take seconds to import, so commands import them; `--help` needs none.
from ebm_ppl._text import printable
from ebm_ppl.cli._fit import fit, sample
from ebm_ppl.cli._validate import validate


class _Commands(click.Group):
    """Commands whose errors show text from files in printable characters, and no more of it than is read."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = printable(error.message)  # pyright: ignore[reportAttributeAccessIssue]
            raise


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ebm-ppl")
def main() -> None:
    """Energy-based models in NumPyro, with a report that proves their samples."""


main.add_command(fit)
main.add_command(sample)
main.add_command(validate)
