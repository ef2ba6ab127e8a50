"""Compiled programs that are shared by all functions which do the same, whatever objects they come from."""

import collections
import functools
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax.extend import core

from ebm_ppl._checks import is_traced
from ebm_ppl._programs import digest_of, is_comparable

_KEPT = 64
"""Compiled programs that are kept; each takes some ten megabytes and three hundred mappings of memory."""


class _Kept:
    """What was made last for each of so many keys."""

    def __init__(self) -> None:
        self._made: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> Any:
        """What was made for a key, or `None`."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
            return self._made.get(key)

    def keep(self, key: Any, made: Any) -> Any:
        """Keep what was made for a key, and return it; or what another thread has made meanwhile."""
        with self._lock:
            made = self._made.setdefault(key, made)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return made


class SharedJit:
    """A compiled function, whose compiled program is that of every other function which does the same.

    `jax.jit` compiles every function object anew, and a kernel, an optimiser or a lambda that is made again
    is another object. Here a function is traced, the arrays that it closes over become arguments, and what
    is left is looked up among the programs that were compiled before: tracing takes a tenth of the time
    that compiling takes, and no memory that outlives this object. Functions that call Python, and those
    with a part that cannot be compared, are compiled for themselves.

    Arrays among the arguments are traced, and all other leaves are static, as by `equinox.filter_jit`. Within
    a transformation of JAX it is the function itself.

    Args:
        function: The function, free of side effects.
        donated: Position of an argument whose memory may be used for the results.
    """

    def __init__(self, function: Callable[..., Any], donated: int | None = None) -> None:
        self._function = function
        self._donated = donated
        self._traced = _Kept()
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any) -> Any:
        """The function's result."""
        leaves, structure = jax.tree.flatten(args)
        if is_traced(leaves):  # a part of another program, which may transform it
            return self._function(*args)
        arrays = [leaf for leaf in leaves if eqx.is_array(leaf)]
        kinds = tuple(
            jax.typeof(leaf) if eqx.is_array(leaf) else (type(leaf), leaf) for leaf in leaves
        )
        run = self._traced.get((structure, kinds))
        if run is None:
            run = _trace(self._function, args, self._donated)
            if is_traced(run.constants):
                return self._function(*args)
            run = self._traced.keep((structure, kinds), run)
        return run(arrays)


class _Traced(NamedTuple):
    """A traced function: a compiled program, the arrays that it closes over, and the form of its result."""

    compiled: Callable[..., list[Any]]
    constants: list[Any]
    structure: Any
    rest: Any

    def __call__(self, arrays: list[Any]) -> Any:
        results = self.compiled(self.constants, *arrays)
        return eqx.combine(jax.tree.unflatten(self.structure, results), self.rest)


def _trace(function: Callable[..., Any], args: tuple[Any, ...], donated: int | None) -> _Traced:
    """Trace a function for such arguments."""
    arrays, static = eqx.partition(args, eqx.is_array)
    form: list[Any] = []

    def on_arrays(arrays: Any) -> list[Any]:
        results, rest = eqx.partition(function(*eqx.combine(arrays, static)), eqx.is_array)
        form[:] = [jax.tree.structure(results), rest]
        return jax.tree.leaves(results)

    program = jax.make_jaxpr(on_arrays)(arrays)
    sizes = [len(jax.tree.leaves(argument)) for argument in arrays]
    first = 0 if donated is None else sum(sizes[:donated])
    positions = () if donated is None else tuple(range(first, first + sizes[donated]))
    return _Traced(_compiled(program, positions), program.consts, *form)


_programs = _Kept()


def _compiled(program: Any, donated: tuple[int, ...]) -> Callable[..., list[Any]]:
    """The compiled form of a program, one for all that are alike; it compiles at its first call."""
    jaxpr = program.jaxpr

    def run(constants: list[Any], *arrays: Any) -> list[Any]:
        return core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, constants))(*arrays)

    compiled = jax.jit(run, donate_argnums=tuple(1 + position for position in donated))
    if not is_comparable(program):
        return compiled
    kinds = tuple(var.aval for var in (*jaxpr.constvars, *jaxpr.invars))
    key = digest_of([program], with_constants=False), kinds, donated
    known = _programs.get(key)
    return _programs.keep(key, compiled) if known is None else known
