"""The command line: draws changes, holds each against report and tests, keeps and prints what it found."""

import concurrent.futures
import hashlib
import itertools
import pathlib
import queue
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

import click

from validation.mutants import records
from validation.mutants.baseline import Baseline
from validation.mutants.changes import Change, is_a_program
from validation.mutants.draw import AREAS, all_changes, area_of, draw, files_of
from validation.mutants.nearness import Nearness
from validation.mutants.process import Stopped, Tree
from validation.mutants.records import Results
from validation.mutants.trial import Outcome, Trial, hold_against_everything, trial_of

ROOT = pathlib.Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "mutants"
RESULTS = pathlib.Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "mutation_score.md"


def fingerprint(files: Sequence[str]) -> str:
    """A short name of what some files hold."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.encode())
        digest.update((ROOT / file).read_bytes())
    return digest.hexdigest()[:16]


def sources() -> list[str]:
    """The files from which changes are drawn."""
    return [file for area in AREAS for file in files_of(ROOT, area)]


def everything() -> list[str]:
    """All files on which an answer of the unchanged package rests, but for the tests themselves."""
    found = [
        ROOT / "conftest.py",
        ROOT / "pyproject.toml",
        *sorted((ROOT / "ebm_ppl").rglob("*.py")),
    ]
    found += [
        path for path in sorted((ROOT / "tests").rglob("*.py")) if not path.name.startswith("test_")
    ]
    return [path.relative_to(ROOT).as_posix() for path in found]


def at_place(place: str) -> list[Change]:
    """The changes of one file, or of one of its lines: `FILE` or `FILE:LINE`."""
    file, _, line = place.partition(":")
    if not (ROOT / file).is_file() or not area_of(file) or (line and not line.isdigit()):
        raise click.BadParameter(f"{place!r} is no FILE:LINE of the package's mathematics.")
    return [
        change
        for change in all_changes(ROOT, [area_of(file)])[area_of(file)]
        if change.file == file and (not line or change.line == int(line))
        if is_a_program(change, (ROOT / file).read_bytes())
    ]


def hold(changes: Sequence[Change], workers: int, limit: float) -> Iterator[Trial]:
    """Hold changes against report and tests, several at a time; in the order in which they end."""
    stop = threading.Event()
    trees = [Tree(ROOT, CACHE / "jax", stop) for _ in range(workers + 1)]
    unchanged, *free = trees
    baseline = Baseline(unchanged, CACHE / "baseline.json", fingerprint(everything()))
    # Of the copy, as it was when the run began: the checkout may be worked on meanwhile.
    nearness, idle = Nearness(unchanged.root), queue.SimpleQueue[Tree]()
    for tree in free:
        idle.put(tree)

    def one(change: Change) -> Trial:
        tree = idle.get()
        try:
            return hold_against_everything(change, tree, baseline, unchanged.root, nearness, limit)
        finally:
            idle.put(tree)

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    try:
        asked = [pool.submit(one, change) for change in changes]
        for ended in concurrent.futures.as_completed(asked):
            yield ended.result()
        for name in baseline.not_passing():
            click.echo(f"left out, since it does not pass without any change: {name}", err=True)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        for tree in trees:
            tree.close()


@click.command()
@click.option("--sample", "size", type=click.IntRange(1), default=60, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--areas", multiple=True, type=click.Choice(list(AREAS)), help="All by default.")
@click.option("--only", metavar="FILE[:LINE]", help="Every change there; nothing is kept.")
@click.option("--containing", default="", help="Only changes whose text contains this.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--time-limit", "limit", type=click.FloatRange(1), default=60.0, show_default=True)
@click.option("--again", is_flag=True, help="Ask those that survived once more.")
@click.option("--fresh", is_flag=True, help="Forget what was found with this seed.")
@click.option("--dry-run", is_flag=True, help="Print the changes and ask nothing.")
@click.option("--write", is_flag=True, help="Write the page of the documentation.")
def main(
    size: int,
    seed: int,
    areas: tuple[str, ...],
    only: str | None,
    containing: str,
    workers: int,
    limit: float,
    again: bool,
    fresh: bool,
    dry_run: bool,
    write: bool,
) -> None:
    """Change the package's mathematics at random, and see whether report or tests notice.

    A run that is interrupted goes on where it was: what is in the file of its seed is not asked again.
    """
    if only:
        changes = at_place(only)
    else:
        pool = all_changes(ROOT, areas or tuple(AREAS))
        changes = list(itertools.islice(draw(ROOT, seed, pool), size))
    changes = [change for change in changes if containing in change.text]
    if dry_run:
        for change in changes:
            click.echo(
                f"{change.file}:{change.line} {change.function}: {change.kind}: {change.text}"
            )
        return
    results = Results(RESULTS / f"seed_{seed}.json", seed, fingerprint(sources()))
    if not only and not results.load() and not fresh:
        raise click.UsageError(
            "The file of this seed was found on other sources, from which other changes are drawn: "
            "give --fresh to start anew."
        )
    results.forget(*([] if fresh else [Outcome.EQUIVALENT, *([Outcome.SURVIVED] * again)]))
    # Told to end in whatever way, a run ends the processes that it has started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    known = records.equivalents()
    trials: dict[tuple[str, str, str], Trial] = {}
    for change in changes:
        stored = results.get(change.key)
        if change.key in known:
            stored = trial_of(change, Outcome.EQUIVALENT, known[change.key])
        if stored is not None:
            trials[change.key] = stored
    rest = [change for change in changes if change.key not in trials]
    for trial in trials.values():
        click.echo(records.line(trial))
    try:
        for trial in hold(rest, workers, limit) if rest else ():
            trials[trial.key] = trial
            if not only:
                results.add(trial)
            click.echo(records.line(trial))
    except (KeyboardInterrupt, Stopped):
        click.echo("Interrupted; the same command goes on from here.", err=True)
        sys.exit(130)
    ordered = [trials[change.key] for change in changes]
    for text in records.totals(ordered):
        click.echo(text)
    if write and not only:
        PAGE.write_text(records.page(ordered, seed))


if __name__ == "__main__":
    main()
