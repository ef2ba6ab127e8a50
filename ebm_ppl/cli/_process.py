"""Settings of a process that the command line has to itself."""

import gc
import os
import pathlib
import sys

OPT_OUT = "EBM_PPL_NO_CACHE"


def folder() -> pathlib.Path:
    """The platform's place for files that may be deleted at any time."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        root = pathlib.Path(base)
    elif sys.platform == "darwin":
        root = pathlib.Path.home() / "Library" / "Caches"
    elif sys.platform == "win32" and (base := os.environ.get("LOCALAPPDATA")):
        root = pathlib.Path(base)
    else:
        root = pathlib.Path.home() / ".cache"
    return root / "ebm-ppl" / "jax"


def prepare() -> None:
    """Make programs start sooner; no number changes."""
    # Tracing makes objects by the million, nearly all of which go when their last reference does; to search
    # them for cycles as often as Python does takes a tenth of a run.
    gc.set_threshold(100_000, 50, 50)
    _keep_programs()


def _keep_programs() -> None:
    """Keep compiled programs between runs; JAX's own settings go first.

    The environment variable `EBM_PPL_NO_CACHE` switches it off.
    """
    import jax

    chosen: str | None = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if os.environ.get(OPT_OUT) or chosen is not None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder()))
    # A run compiles hundreds of small programs; the defaults would keep only the slowest.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
