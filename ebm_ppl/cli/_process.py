"""Settings of a process that the command line has to itself."""

import gc
import logging
import os
import pathlib
import sys
import tempfile

import click

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
    """Make programs start sooner; no number changes.

    Raises:
        click.ClickException: If JAX finds no device.
    """
    # Tracing makes objects by the million, nearly all of which go when their last reference does; to search
    # them for cycles as often as Python does takes a tenth of a run.
    gc.set_threshold(100_000, 50, 50)
    # That a font is looked for, or a cache cannot be written, is no news of an energy.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    _keep_programs()
    _find_devices()


def _keep_programs() -> None:
    """Keep compiled programs between runs; JAX's own settings go first.

    The environment variable `EBM_PPL_NO_CACHE` switches it off.
    """
    import jax

    chosen: str | None = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if os.environ.get(OPT_OUT) or chosen is not None:
        return
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
    except (OSError, RuntimeError):  # of a folder that cannot be written, or of nobody's home
        return
    jax.config.update("jax_compilation_cache_dir", str(place))
    # A run compiles hundreds of small programs; the defaults would keep only the slowest.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _find_devices() -> None:
    """Refuse to go on without a device to compute on, which JAX says in many lines or in none."""
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked = os.environ.get("JAX_PLATFORMS")
        said = f" ({error})" if str(error) else ""
        if asked is None:
            raise click.ClickException(f"JAX finds no device{said}.") from error
        raise click.ClickException(
            f"JAX finds no device of the kind that JAX_PLATFORMS={asked!r} asks for{said}. Without that "
            "variable it takes what there is."
        ) from error


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
