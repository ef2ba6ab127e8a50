"""Processes that start at once, for the packages are imported in the one that they are forked from."""

import contextlib
import functools
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any

from tests.reliability import writers

PATIENCE = 120.0
"""Seconds after which something that should have happened has not."""


@functools.cache
def context() -> ForkServerContext:
    """The server, in which nothing is computed: a fork of JAX's threads would hang."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.reliability.writers"])
    return found


@contextlib.contextmanager
def started(work: Callable[..., Any], *arguments: Any) -> Iterator[BaseProcess]:
    """A process that does some work and has said that it is ready; killed at the end."""
    here, there = context().Pipe(duplex=False)
    process = context().Process(target=work, args=(*arguments, there), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE), "the work has not begun"
        here.recv()
        yield process
    finally:
        process.kill()
        process.join()
        here.close()


def killed(work: Callable[..., Any], folder: Any, within: float, chance: random.Random) -> bool:
    """Kill some work at a random moment; whether it was still at it."""
    with started(work, folder) as process:
        time.sleep(chance.uniform(0.0, within))
        process.kill()
        process.join()
        return process.exitcode != 0


def outcomes(*works: tuple[Any, ...]) -> list[str]:
    """What comes of some works that are done at once: an empty string, or what was raised."""
    pipes, processes = [], []
    for work, *arguments in works:
        here, there = context().Pipe(duplex=False)
        process = context().Process(
            target=writers.outcome, args=(work, there, *arguments), daemon=True
        )
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    try:
        assert all(pipe.poll(PATIENCE) for pipe in pipes)
        return [pipe.recv() for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
