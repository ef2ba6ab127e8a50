"""`python -m validation.silent_failures`: ask every function hard problems, and count the answers."""

import pathlib

import click
import jax

from validation.silent_failures import estimators, kernels, quadrature, table, training
from validation.silent_failures.answers import Answer, answer_to
from validation.silent_failures.functions import Function
from validation.silent_failures.table import Row

AREAS: dict[str, tuple[tuple[Function, ...], int]] = {
    "quadrature": (quadrature.FUNCTIONS, 2000),
    "estimators": (estimators.FUNCTIONS, 200),
    "kernels": (kernels.FUNCTIONS, 25),
    "training": (training.FIT, 200),
    "command line": (training.COMMAND_LINE, 200),
}
"""Functions of each area, and how many problems each of them is asked by default."""

_MOST_MAPPINGS = 30_000
"""Pieces of memory that programs may map before they are forgotten: Linux grants a process 65,530."""

RESULTS = pathlib.Path(__file__).parent / "results"


def ask(function: Function, num_problems: int, seed: int) -> list[Row]:
    """Ask one function, and tell on the terminal where it is silently wrong."""
    rows = {name: Row(function.name, name) for name in function.families}
    for index, (name, dim, problem, rng_key) in enumerate(function.problems(num_problems, seed)):
        if _num_mappings() > _MOST_MAPPINGS:
            jax.clear_caches()
        if index % 20 == 0:
            click.echo(f"{function.name}: {index} of {num_problems}", err=True)
        answer = answer_to(lambda problem=problem, key=rng_key: function.ask(problem, key))
        rows[name].note(answer, dim, problem.parameters)
        if answer is Answer.WRONG:
            click.echo(f"{function.name}, {name}: {dim}, {problem.parameters}", err=True)
    return [row for row in rows.values() if row.answers]


def _num_mappings() -> int:
    """Pieces of memory that this process maps; 0 where the system does not tell."""
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


@click.command()
@click.option(
    "--of", "areas", multiple=True, type=click.Choice(list(AREAS)), help="All by default."
)
@click.option("--function", "names", multiple=True, help="Names of functions; all by default.")
@click.option(
    "--problems", type=click.IntRange(1), help="Of each function; by default its own number."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--write", is_flag=True, help="Keep the counts in `validation/silent_failures/results`."
)
@click.option(
    "--light",
    is_flag=True,
    help="Compile with few of XLA's optimisations, which is sooner for runs that mostly compile.",
)
def main(
    areas: tuple[str, ...],
    names: tuple[str, ...],
    problems: int | None,
    seed: int,
    write: bool,
    light: bool,
) -> None:
    """Count right, refused and silently wrong answers, as Markdown tables."""
    jax.config.update("jax_disable_most_optimizations", light)
    for area in areas or AREAS:
        functions, usual = AREAS[area]
        rows: list[Row] = []
        for function in functions:
            if names and function.name not in names:
                continue
            found = ask(function, problems or usual, seed)
            rows += found
            # What was counted stands, whatever becomes of the functions that are still to be asked.
            click.echo(f"\n{function.name}: silently wrong {table.sentence(found)}\n")
            for line in table.lines(found):
                click.echo(line)
            if write:
                table.write(RESULTS / f"{area.replace(' ', '_')}_seed_{seed}.json", seed, rows)
        if rows:
            click.echo(f"\n{area.capitalize()}: silently wrong {table.sentence(rows)}")


if __name__ == "__main__":
    main()
