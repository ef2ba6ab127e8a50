"""Processes that were forked after JAX had computed, in which it can compute no more."""

import os

from jax._src import xla_bridge

_is_dead = False


def check_not_forked() -> None:
    """Refuse to compute where it would wait for ever.

    A fork has the memory of its parent but none of its threads, for which JAX then waits.

    Raises:
        RuntimeError: If this process was forked from one in which JAX had computed.
    """
    if _is_dead:
        raise RuntimeError(
            "This process was forked from one in which JAX had computed, and has none of its threads, for "
            "which it would wait for ever. Start processes by `multiprocessing.get_context('spawn')` or "
            "'forkserver', or fork before anything is computed."
        )


def _look() -> None:
    global _is_dead  # what this process is
    _is_dead = _is_dead or xla_bridge.backends_are_initialized()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_look)
