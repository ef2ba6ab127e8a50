"""What JAX makes of a function, and when two functions are the same to it."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
from jax.extend import core

from ebm_ppl._processes import add_bits

_CALLBACKS = ("pure_callback", "io_callback")  # whose results a program uses; not those that print

_RULES = ("custom_jvp_call", "custom_vjp_call", "custom_vmap_call")
"""Operations whose Python functions are rules for transformations, of which a finished program needs none."""

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def program_of(function: Callable[..., Any], *args: Any) -> Any:
    """What JAX makes of a function: every operation and constant, whatever closures they come from."""
    return eqx.filter_make_jaxpr(function)(*args)[0]


def digest_of(programs: Sequence[Any], values: Any = None, *, with_constants: bool = True) -> str:
    """Digest of the operations of programs and of every bit of the arrays and numbers of a pytree.

    Functions have no equality. In programs, what they close over are constants; what a function under
    `jax.jit` closes over, those of a program within the program. Variables count by their places, and a
    program that JAX has traced once for two calls counts as two: that depends on what it traced before.

    Args:
        programs: What `program_of` or `jax.make_jaxpr` returns.
        values: A pytree.
        with_constants: Whether constants of the programs themselves count, beside those within.
    """
    digest, known = hashlib.sha256(), dict[int, bytes]()
    for program in programs:
        digest.update(_digest_of_program(program, known, with_constants))
    for leaf in jax.tree.leaves(eqx.filter(values, eqx.is_array_like)):
        add_bits(digest, leaf)
    return digest.hexdigest()


def _digest_of_program(program: Any, known: dict[int, bytes], with_constants: bool = True) -> bytes:
    """Digest of one program, kept by its identity among those that are known."""
    if id(program) in known:
        return known[id(program)]
    digest = hashlib.sha256()
    # From JAX 0.12 on the two classes are one.
    for constant in getattr(program, "consts", ()) if with_constants else ():
        add_bits(digest, constant)
    jaxpr = getattr(program, "jaxpr", program)
    numbers = {var: number for number, var in enumerate((*jaxpr.constvars, *jaxpr.invars))}
    digest.update(str([var.aval for var in numbers]).encode())

    def add(read: Any) -> None:
        if isinstance(read, core.Literal):
            digest.update(str(read.aval).encode())
            add_bits(digest, read.val)
        else:
            digest.update(f"{numbers[read]},".encode())

    for operation in jaxpr.eqns:
        digest.update(operation.primitive.name.encode())
        for var in operation.invars:
            add(var)
        for name in sorted(operation.params):
            digest.update(name.encode())
            _add_setting(digest, operation.params[name], known)
        for var in operation.outvars:
            numbers[var] = len(numbers)
            digest.update(str(var.aval).encode())
    for var in jaxpr.outvars:
        add(var)
    return known.setdefault(id(program), digest.digest())


def _add_setting(digest: Any, setting: Any, known: dict[int, bytes]) -> None:
    """Add one setting of an operation to a digest; functions count by their names alone."""
    if isinstance(setting, (core.ClosedJaxpr, core.Jaxpr)):
        digest.update(_digest_of_program(setting, known))
    elif isinstance(setting, dict):
        for key in sorted(setting, key=str):
            digest.update(str(key).encode())
            _add_setting(digest, setting[key], known)
    elif isinstance(setting, (tuple, list)):
        digest.update(f"{type(setting).__name__} of {len(setting)}".encode())
        for one in setting:
            _add_setting(digest, one, known)
    elif eqx.is_array(setting):
        add_bits(digest, setting)
    else:
        digest.update(_ADDRESS.sub("", str(setting)).encode())


def callbacks_of(program: Any) -> list[str]:
    """Names of the operations of a program that call Python for a result."""
    operations = (one.primitive.name for part in _parts(program, set()) for one in part.eqns)
    return sorted(set(operations).intersection(_CALLBACKS))


def is_comparable(program: Any) -> bool:
    """Whether nothing in a program is told apart by its place in memory alone, or acts on the world."""
    return not program.effects and not any(
        _ADDRESS.search(str(setting))
        for part in _parts(program, set())
        for operation in part.eqns
        if operation.primitive.name not in _RULES
        for setting in operation.params.values()
        if not any(_programs_in(setting))
    )


def _parts(program: Any, seen: set[int]) -> Iterator[Any]:
    """A program and those that its operations call, each once."""
    if id(program) in seen:  # a function that is called twice
        return
    seen.add(id(program))
    yield program
    for operation in program.eqns:
        for inner in _programs_in(operation.params):
            yield from _parts(inner, seen)


def _programs_in(settings: Any) -> Iterator[Any]:
    """The programs in the settings of an operation."""
    if isinstance(settings, (core.ClosedJaxpr, core.Jaxpr)):
        yield settings
    elif isinstance(settings, dict):
        for key in sorted(settings):
            yield from _programs_in(settings[key])
    elif isinstance(settings, (tuple, list)):
        for one in settings:
            yield from _programs_in(one)
