"""How often the suite catches each planted bug, over many seeds: `python -m validation.catch_rates`.

A bug that a deterministic check catches is caught at every seed. For the others the exact invariance
check, for estimators of log Z the checks of their errors and of their efficiency, and for objectives all of
theirs, run at as many seeds as asked for, as the default report would run them.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import click

from ebm_ppl.validation.chains import ShortChainRunner
from ebm_ppl.validation.checks.invariance import InvarianceSubject, exact_invariance
from ebm_ppl.validation.checks.state_invariance import StateSubject, state_invariance
from ebm_ppl.validation.controls import Control
from ebm_ppl.validation.results import CheckResult, Question, Verdict
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite import KERNELS, KINDS, Kind
from ebm_ppl.validation.suite.job import key_for
from ebm_ppl.validation.suite.kernel_checks import STEP_FACTORS


def count_rejections(kind: Kind[Any, Any], control: Any, num_seeds: int) -> tuple[int, str]:
    """Number of seeds at which a control is rejected, and the check that does it most often.

    Args:
        kind: The control's kind.
        control: The control.
        num_seeds: Number of seeds, from 0.

    Returns:
        The number, and the name of a check; "-" if none rejects.
    """
    if isinstance(control, Control):
        return _count_of_kernel(control, num_seeds)
    by = Counter[str]()
    for seed in range(num_seeds):
        result = kind.ask(control, seed)
        by[result.check] += result.verdict is Verdict.FAIL
    return by.total(), by.most_common(1)[0][0] if by.total() else "-"


def _count_of_kernel(control: Control, num_seeds: int) -> tuple[int, str]:
    """As `count_rejections`, with programs that are compiled once for all seeds."""
    for check, compute in KERNELS.control_checks(control, 0):
        if check == "exact invariance":
            return _count_by_chains(control, num_seeds), check
        if compute().verdict is Verdict.FAIL:
            return num_seeds, check
    return 0, "-"


def _count(check: Callable[..., CheckResult], name: str, num_seeds: int) -> int:
    keys = (key_for(seed, "control", name) for seed in range(num_seeds))
    return sum(check(key, question=Question.CONTROL).verdict is Verdict.FAIL for key in keys)


def _count_by_chains(control: Control, num_seeds: int) -> int:
    target = built_in()[control.target]
    density, table = target.density, target.table
    assert control.case is not None
    runner = ShortChainRunner(control.case, control.register(target.energy))
    if table is not None:
        check = functools.partial(state_invariance, StateSubject(control.case, runner, table))
    else:
        assert density is not None
        steps = [factor * control.step_size for factor in STEP_FACTORS]
        subject = InvarianceSubject(control.case, runner, density, steps)
        check = functools.partial(exact_invariance, subject)
    return _count(check, control.name, num_seeds)


_KINDS = {kind.plural: kind for kind in KINDS}


def lines(kind: Kind[Any, Any], num_seeds: int, names: tuple[str, ...] = ()) -> Iterator[str]:
    """One line of a Markdown table for each control of a kind; of those alone that are named, if any is."""
    yield "| control | rejected | of | by | should be |"
    yield "| --- | --- | --- | --- | --- |"
    for control in kind.controls().values():
        if names and control.name not in names:
            continue
        rejections, check = count_rejections(kind, control, num_seeds)
        wanted = "passed" if control.equivalent else "rejected"
        yield f"| {control.name} | {rejections} | {num_seeds} | {check} | {wanted} |"


@click.command()
@click.option("--seeds", "num_seeds", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--of", "kinds", multiple=True, type=click.Choice(list(_KINDS)), help="All by default."
)
@click.option("--control", "names", multiple=True, help="Names of controls; all by default.")
def main(num_seeds: int, kinds: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Print how often each control is rejected, as Markdown tables."""
    for kind in kinds or _KINDS:
        click.echo(f"\n{kind.capitalize()}\n")
        for line in lines(_KINDS[kind], num_seeds, names):
            click.echo(line)


if __name__ == "__main__":
    main()
