"""Whether a value that JAX traces depends on an argument of the trace, or is a constant made within it."""

from typing import Any

import jax
from jax.core import Tracer
from jax.interpreters.partial_eval import DynamicJaxprTracer


def depends_on_argument(value: Any) -> bool:
    """Whether any leaf of `value` depends on what JAX differentiates, maps over, or compiles a function of.

    Within a compiled function every array that `jax.numpy` makes is traced, those too that depend on nothing.
    So the operations that led to a value are followed back to where they begin. Where JAX does not show
    them, the answer is yes.

    Args:
        value: A pytree.

    Returns:
        Whether some leaf depends on an argument, or may do so.
    """
    pending = jax.tree.leaves(value)
    seen: set[int] = set()
    while pending:
        leaf = pending.pop()
        if not isinstance(leaf, Tracer) or id(leaf) in seen:
            continue
        seen.add(id(leaf))
        sources = _sources(leaf)
        if sources is None:
            return True
        pending.extend(sources)
    return False


def _sources(tracer: Any) -> list[Any] | None:
    """What a traced value was computed from; `None` for an argument, and where JAX does not show it.

    Derivatives and `vmap` trace nothing but what depends on their arguments.
    """
    if not isinstance(tracer, DynamicJaxprTracer):
        return None
    constant = tracer._trace.get_const(tracer)
    if constant is not None:
        return [constant]
    return None if tracer.parent is None else list(tracer.parent.in_tracers)
