"""Compilation of programs that run once: in less time, to code that is hardly slower.

XLA takes longer to compile a check than to run it. On CPUs the two options below take a third off the time to
compile a kernel's programs, and nothing that could be measured off their speed (jaxlib 0.10).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

_OPTIONS = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}


@functools.cache
def _known_options() -> dict[str, Any]:
    """The options, or none where the installed XLA does not know them all."""
    try:
        jax.jit(lambda: 0.0, compiler_options=_OPTIONS).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _OPTIONS


def jit_lightly(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function on its first call, as `jax.jit` does, with fewer of XLA's optimisations."""
    return jax.jit(function, compiler_options=_known_options())
