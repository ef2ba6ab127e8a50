"""JAX's compilation cache, kept between runs of the command line."""

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


def enable() -> None:
    """Keep compiled programs; no number changes, and JAX's own settings go first.

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
