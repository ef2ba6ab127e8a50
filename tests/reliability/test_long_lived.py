"""Processes that live long: many runs in one, several threads, interrupts, forks and event loops."""

import asyncio
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.streaming import stream

pytestmark = pytest.mark.slow

DATA = np.random.default_rng(0).normal(size=(128, 2)).astype(np.float32)
SETTINGS = {"num_warmup": 30, "num_samples": 30, "progress_bar": False}
CHAINS = {"num_chains": 3, "chain_method": "vectorized"}


def energy(number: int) -> ebm.AbstractEnergy:
    """An energy of its own."""
    return ebm.energies.Gaussian(jnp.array([float(number), 0.0]), jnp.eye(2))


def model(number: int) -> Callable[[], None]:
    """A model of its own, with more than one site."""

    def program() -> None:
        a = numpyro.sample("a", dist.Normal(float(number), 1.0))
        b = numpyro.sample("b", dist.Normal(jnp.asarray(a), 1.0))
        numpyro.sample("y", dist.Normal(jnp.asarray(b), 1.0), obs=jnp.array(1.0))

    return program


def _sample(host: Any, kernel: Any, of: Callable[[int], Any]) -> Callable[[int], Any]:
    def run(number: int) -> Any:
        mcmc = host(kernel(of(number)), **SETTINGS, **CHAINS)
        mcmc.run(jax.random.key(number))
        return mcmc.get_samples()

    return run


def _fit(number: int) -> Any:
    return ebm.fit(
        energy(number),
        DATA,
        ebm.PersistentCD(),
        optax.adam(1e-2),
        num_steps=20,
        rng_key=jax.random.key(number),
        progress_bar=False,
    ).energy


def _anneal(number: int) -> Any:
    estimate = ebm.partition.annealed_importance_sampling(
        energy(number), jax.random.key(number), num_chains=64
    )
    return estimate.log_z


def _stream(number: int) -> Any:
    kernel = ebm.MALA(ebm.as_model(energy(number)))
    key = jax.random.key(number)
    run = stream(kernel, key, num_samples=40, num_warmup=20, num_chains=4, progress_bar=False)
    return run.results["summary"]["x"].mean


WORKS = {
    "MCMC, MALA": _sample(ebm.MCMC, ebm.MALA, lambda n: ebm.as_model(energy(n))),
    "MCMC, a model": _sample(ebm.MCMC, ebm.ChEESHMC, model),
    "NumPyro's MCMC, MAMS": _sample(
        numpyro.infer.MCMC, ebm.MAMS, lambda n: ebm.as_model(energy(n))
    ),
    "fit": _fit,
    "annealed importance sampling": _anneal,
    "stream": _stream,
}


def same(left: Any, right: Any) -> bool:
    """Whether two results are equal to the last bit."""
    left, right = jax.tree.leaves(left), jax.tree.leaves(right)
    return len(left) == len(right) and all(map(np.array_equal, left, right))


def test_threads_that_compute_at_once_find_what_one_finds() -> None:
    found: dict[tuple[str, int], Any] = {}

    def work(name: str, number: int) -> None:
        try:
            found[name, number] = WORKS[name](number)
        except BaseException as error:  # noqa: BLE001  # told below
            found[name, number] = error

    jobs = [(name, number) for number in range(3) for name in WORKS]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads meet more often
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    wrong = [job for job in jobs if not same(found[job], WORKS[job[0]](job[1]))]
    assert not wrong, [(job, found[job]) for job in wrong]


def test_an_event_loop_goes_on_while_chains_run() -> None:
    async def run_all() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(WORKS["fit"], n) for n in range(4)))

    for number, result in enumerate(asyncio.run(run_all())):
        assert same(result, WORKS["fit"](number))


def is_interrupted(work: Callable[[], Any], after: float) -> bool:
    """Whether a SIGINT that comes `after` so many seconds ends `work`; it has come at the return."""
    came = threading.Event()

    def interrupt(*_: Any) -> None:
        came.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    timer = threading.Timer(after, signal.raise_signal, (signal.SIGINT,))
    finished = False
    try:
        timer.start()
        work()
        finished = True
        while not came.is_set():  # the signal is not to come when nobody waits for it
            time.sleep(1e-3)
    except KeyboardInterrupt:
        return not finished
    finally:
        signal.signal(signal.SIGINT, before)
    return False


@pytest.mark.parametrize("name", WORKS)
def test_what_is_interrupted_can_be_run_again(name: str) -> None:
    work = WORKS[name]
    expected, chance = work(0), random.Random(0)
    interrupted = 0
    for _ in range(40):  # rounds in which the work ends before the signal comes do not count
        begun = time.perf_counter()
        assert same(work(0), expected)
        lasts = time.perf_counter() - begun
        interrupted += is_interrupted(lambda: work(0), chance.uniform(0.05, 0.9) * lasts)
        if interrupted == 8:
            break
    assert same(work(0), expected)
    assert interrupted == 8


FORK = """
import os, jax, numpy as np, optax, sys
import ebm_ppl as ebm
energy = ebm.energies.Quartic()
key, data = jax.random.key(0), np.random.default_rng(0).normal(size=64).astype("float32")
if sys.argv[1] == "computed":
    ebm.quadrature.normalize(energy)
works = {
    "init": lambda: ebm.MALA(ebm.as_model(energy)).init(key, 10),
    "fit": lambda: ebm.fit(energy, data, ebm.ScoreMatching(), optax.sgd(0.1), num_steps=3, rng_key=key),
    "normalize": lambda: ebm.quadrature.normalize(energy),
    "estimate": lambda: ebm.partition.annealed_importance_sampling(energy, key),
}
if os.fork() == 0:
    for name, work in works.items():
        try:
            work()
        except RuntimeError as error:
            print(name, error)
    sys.stdout.flush()
    os._exit(0)
os.wait()
"""


def test_a_fork_of_a_process_that_has_computed_is_refused_in_one_line() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, "computed"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    lines = run.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["init", "fit", "normalize", "estimate"]
    assert all("forked" in line and "'spawn'" in line for line in lines)


MANY = """
import json, pathlib, sys
import jax, jax.numpy as jnp, numpy as np, optax
import ebm_ppl as ebm

def memory():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20, len(pathlib.Path("/proc/self/maps").read_text().splitlines())

data = np.random.default_rng(0).normal(size=(128, 2)).astype("float32")
for number in range(int(sys.argv[1])):
    energy = ebm.energies.Gaussian(jnp.array([float(number), 0.0]), jnp.eye(2))
    mcmc = ebm.MCMC(
        ebm.MALA(ebm.as_model(energy)),
        num_warmup=50, num_samples=50, num_chains=4, chain_method="vectorized", progress_bar=False,
    )
    mcmc.run(jax.random.key(number))
    ebm.fit(
        energy, data, ebm.PersistentCD(), optax.adam(1e-2),
        num_steps=20, rng_key=jax.random.key(number), progress_bar=False,
    )
    if number == 99:
        print(json.dumps(memory()))
print(json.dumps(memory()))
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/maps").exists(), reason="Linux counts mappings")
def test_a_thousand_runs_and_fits_take_no_more_than_a_hundred() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MANY, "1000"],
        capture_output=True,
        text=True,
        timeout=3000,
        check=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    early, late = (json.loads(line) for line in run.stdout.splitlines())
    assert late[0] <= 1536
    assert late[1] <= 5000
    assert late[1] <= early[1] + 50
