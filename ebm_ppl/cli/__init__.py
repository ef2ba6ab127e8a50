"""The console script `ebm-ppl`, which `python -m ebm_ppl` runs, too."""

import click

# JAX, Matplotlib and ArviZ take seconds to import, so commands import them; `--help` needs none.
from ebm_ppl.cli._fit import fit, sample
from ebm_ppl.cli._validate import validate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ebm-ppl")
def main() -> None:
    """Energy-based models in NumPyro, with a report that proves their samples."""


main.add_command(fit)
main.add_command(sample)
main.add_command(validate)
