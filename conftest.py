"""Settings of every test run, doctests of the packages included; they must precede JAX's import."""

import datetime as dt
import functools
import gc
import importlib.metadata
import itertools
import os
import pathlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook  # imports no JAX

_ROOT = pathlib.Path(__file__).parent
_CACHE = _ROOT / ".cache" / "jax"

# Two workers share the machine: one thread each. Two host devices let chains run in parallel.
_FLAGS = "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2"
# XLA ends the process on a flag that it does not know. Without its newer emitters of fused loops programs
# take two thirds of the time to compile, measured with jaxlib 0.10.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    _FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", _FLAGS)
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# Compilation is most of the suite's time, and the same programs come back at every run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# Kept referenced: the annotations of all that `validation` and `cli` rest on are checked at run time.
_CHECKED = [
    f"ebm_ppl.{module.name}"
    for module in pkgutil.iter_modules([str(_ROOT / "ebm_ppl")])
    if module.name not in ("__main__", "cli", "validation")
]
_HOOK = install_import_hook(_CHECKED, f"{__name__}.checked")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """What beartype makes of a function, made at its first call: importing the package costs half as much."""

    @functools.cache
    def with_checks() -> Callable[..., Any]:
        import beartype

        return beartype.beartype(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return with_checks()(*args, **kwargs)

    return call


settings.register_profile(
    "deterministic",
    deadline=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.load_profile("deterministic")


_QUICK = "not slow"  # the marks that the settings in pyproject.toml ask for


def pytest_configure(config: pytest.Config) -> None:
    # Tracing makes objects by the million, few of them in cycles.
    gc.set_threshold(100_000, 50, 50)
    if config.option.markexpr == _QUICK:
        _compile_lightly()
    starts_workers = getattr(config.option, "numprocesses", None)  # workers themselves start none
    if starts_workers and sys.version_info < (3, 12):
        _silence_arviz()


def _compile_lightly() -> None:
    """Make XLA spare most of its optimisations, which its older emitters of loops then do.

    Quick tests are compilation rather than computation: programs take half of the time to compile so.
    """
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")


def _silence_arviz() -> None:
    """Tell ArviZ 0.23, before there are workers, that it has warned today.

    At its first import of a day it warns and writes this file, and two processes that do so at once break
    each other. Importing it here would cost two seconds.
    """
    import platformdirs

    stamp = platformdirs.user_cache_path("arviz", "arviz", ensure_exists=True) / "daily_warning"
    stamp.write_text(dt.date.today().isoformat(), encoding="utf-8")


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Leave docstrings alone where their examples, all of them slow, are not asked for.

    To collect them is to import every module of the package. A path within it is collected if it is given:
    pytest does not ask about those.
    """
    in_package = collection_path.parent == _ROOT / "ebm_ppl"
    return True if in_package and config.option.markexpr == _QUICK else None


_ENDED_TESTS = itertools.count(1)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let go of compiled programs once there are many; they come back from the disk.

    Each takes mappings of memory, of which Linux grants a process 65,530; a worker that wants more crashes.
    The heaviest tests take a thousand each.
    """
    if next(_ENDED_TESTS) % 10 == 0 and "jax" in sys.modules and _num_mappings() > 35_000:
        sys.modules["jax"].clear_caches()


def _num_mappings() -> float:
    """Memory mappings of this process; infinitely many where the system does not tell."""
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else float("inf")


@pytest.fixture
def light_compilation() -> Iterator[None]:
    """Spare most of XLA's optimisations in a slow test, too, whose time is compilation."""
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


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
