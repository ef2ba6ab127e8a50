"""Settings of every test run, doctests of the packages included; they must precede JAX's import."""

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook  # imports no JAX

_CACHE = pathlib.Path(__file__).parent / ".cache" / "jax"

# Two workers share the machine: one thread each. Two host devices let chains run in parallel.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2",
)
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# Compilation is most of the suite's time, and the same programs come back at every run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Kept referenced: every annotation of ebm_ppl is checked at run time for the whole session.
_HOOK = install_import_hook("ebm_ppl", "beartype.beartype")

settings.register_profile(
    "deterministic",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.load_profile("deterministic")


def pytest_configure(config: pytest.Config) -> None:
    """Import ArviZ 0.23 once before there are workers.

    At its first import of a day it writes a file, and two processes that do so at once break each other.
    """
    starts_workers = getattr(config.option, "numprocesses", None)  # workers themselves start none
    if starts_workers and sys.version_info < (3, 12):
        import arviz  # noqa: F401


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let go of compiled programs once they fill a worker's memory; they come back from the disk.

    They also take a mapping of memory each few pages, of which Linux grants a process 65,530; a worker
    that wants more crashes. A process of 3 GiB has some 25,000.
    """
    if "jax" in sys.modules and _resident_gib() > 3:
        sys.modules["jax"].clear_caches()


def _resident_gib() -> float:
    """Memory that this process holds now, in GiB; infinite where the system does not tell."""
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        return float("inf")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30


@pytest.fixture
def light_compilation() -> Iterator[None]:
    """Spare most of XLA's optimisations, for tests whose time is compilation rather than computation."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses among them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # Each compiles programs of its own; what they show is tested elsewhere.
        if isinstance(item, pytest.DoctestItem):
            item.add_marker(pytest.mark.slow)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import jax

    if jax.default_backend() == "cpu":
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="JAX sees no accelerator"))
