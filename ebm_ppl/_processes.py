"""Several processes that run one program over devices of all: what they fetch, agree on and write.

JAX joins processes (`jax.distributed.initialize`), and an array may then lie on devices of several. A run
*spans* processes where one of its arrays does, and then every process has to take the same steps in the same
order, or those that wait for it hang. Every other run is that of its process alone, and nothing here costs it
anything.
"""

import contextlib
import hashlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ebm_ppl._errors import ProcessFailedError

T = TypeVar("T")

_PATIENCE = 1800.0
"""Seconds for which a process waits for others: theirs may be a slow disk, or a program to compile."""
_GRACE = 20.0
"""Seconds that a process has to come to know of a failure where it can raise it, or to be waited for."""
_LOOK = 1.0
"""Seconds between two looks for failures elsewhere: one short message to the coordinator each."""
_BLOCK = 2**26
"""Bytes of an array that spans processes which are fetched at once."""


def spans(tree: Any) -> bool:
    """Whether an array of a pytree lies on devices of several processes."""
    return any(
        isinstance(leaf, jax.Array)
        and not isinstance(leaf, Tracer)
        and not leaf.is_fully_addressable
        for leaf in jax.tree.leaves(tree)
    )


def on_host(value: Any, dtype: Any = None) -> np.ndarray:
    """An array as NumPy has it; every process fetches all of one that is shared out.

    All processes that share it must call this. Reduce what is large on the devices first.

    Args:
        value: Anything that NumPy makes an array of.
        dtype: Type of the numbers; their own by default.
    """
    if isinstance(value, jax.Array) and spans(value) and not value.is_fully_replicated:
        # A tenth of a second, for those alone who need it.
        from jax.experimental import multihost_utils

        value = multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(value, dtype)


def tree_on_host(tree: T) -> T:
    """A pytree with NumPy arrays in the place of arrays."""
    return jax.tree.map(on_host, tree) if spans(tree) else jax.device_get(tree)


def blocks_on_host(value: Any) -> Iterator[np.ndarray]:
    """An array in rows, of which there is only a part at a time where it spans processes."""
    if value.ndim == 0 or not spans(value):
        yield on_host(value)
        return
    rows = max(1, _BLOCK * len(value) // max(1, value.nbytes))
    for start in range(0, len(value), rows):
        yield on_host(value[start : start + rows])


def as_numbers(leaf: Any) -> Any:
    """A number, an array or the data of random keys, as an array of numbers where it lies."""
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        return np.asarray(leaf)
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def add_bits(digest: Any, leaf: Any) -> None:
    """Add every bit of an array, a number or random keys to a digest."""
    array = as_numbers(leaf)
    digest.update(f"{array.shape}{array.dtype}".encode())
    for block in blocks_on_host(array):
        digest.update(np.ascontiguousarray(block).tobytes())


def placed_like(tree: T, like: Any) -> T:
    """A pytree whose arrays all lie on the devices of another's first array that is on several.

    Those that do already stay as they are; the others become copies on each device. A compiled loop that is
    entered twice then finds the same layout, and its result does not depend on where it was cut.

    Args:
        tree: The pytree.
        like: Another pytree.
    """
    meshes = [
        leaf.sharding.mesh
        for leaf in jax.tree.leaves(like)
        if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding)
    ]
    mesh = next((mesh for mesh in meshes if mesh.size > 1), None)
    if mesh is None:
        return tree
    whole = NamedSharding(mesh, PartitionSpec())

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or len(leaf.sharding.device_set) > 1:
            return leaf
        return restored(leaf, whole)

    return jax.tree.map(place, tree)


def layout_of(tree: Any) -> list[Any] | None:
    """Where the arrays of a pytree lie; `None` if each is on one device, where they stay anyway."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    shardings = [leaf.sharding for leaf in leaves]
    return shardings if any(len(one.device_set) > 1 for one in shardings) else None


def laid_out(tree: T, layout: list[Any] | None) -> T:
    """A pytree with its arrays where `layout_of` found those of one like it."""
    if layout is None:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    places = iter(layout)
    for number, leaf in enumerate(leaves):
        if isinstance(leaf, jax.Array):
            place = next(places)
            is_there = leaf.sharding.is_equivalent_to(place, leaf.ndim)
            leaves[number] = leaf if is_there else restored(leaf, place)
    return jax.tree.unflatten(structure, leaves)


def restored(leaf: Any, sharding: Any) -> jax.Array:
    """An array of which every process has all, shared out."""
    # `device_put` refuses keys, and arrays of one device, where others of the layout are elsewhere.
    return jax.jit(_itself, out_shardings=sharding)(leaf)


def _itself(leaf: Any) -> Any:
    return leaf


def check_layout(name: str, tree: Any) -> None:
    """Refuse arrays on a mesh of explicit axes, whose layout each operation would have to be told."""
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and AxisType.Explicit in sharding.mesh.axis_types:
            raise ValueError(
                f"`{name}` must lie on a mesh whose axes are of `AxisType.Auto`; got explicit axes, "
                f"{sharding.spec}. Make it with `jax.make_mesh(shape, names, "
                "axis_types=(AxisType.Auto,) * len(names))`, or move the array to such a mesh by "
                "`jax.device_put`."
            )


class Run:
    """What processes do together in a run; in one that spans none, what this process does alone.

    Attributes:
        is_first: Whether this process writes files and shows progress: process 0, or one that runs alone.
    """

    is_first = True

    def agree(self, value: T) -> T:
        """Wait for all processes, and return the value of the first.

        Args:
            value: Something that JSON keeps.

        Raises:
            ProcessFailedError: If another process has failed.
        """
        return value

    def check_alike(self, **given: Any) -> None:
        """Refuse arguments on which the steps of a run depend and that differ between processes.

        Args:
            given: Arguments by name, which JSON keeps.

        Raises:
            ProcessFailedError: If another process has failed.
            ValueError: If they differ.
        """

    def check_copies(self, **given: Any) -> None:
        """Refuse arrays that each process holds for itself, and that differ.

        JAX takes them for copies of one array, without a look.

        Args:
            given: What holds arrays, by name.

        Raises:
            ProcessFailedError: If another process has failed.
            ValueError: If they differ.
        """


ALONE = Run()


class _Together(Run):
    def __init__(self, name: str) -> None:
        self._name = name
        self._index = jax.process_index()
        self._number = next(_RUNS)
        self._failed = f"ebm_ppl/failed/{self._number}"
        self.is_first = self._index == 0

    def agree(self, value: T) -> T:
        return self._gathered(value)[0]

    def check_alike(self, **given: Any) -> None:
        first, *others = self._gathered(given)
        for index, other in enumerate(others, start=1):
            for name, value in first.items():
                if other[name] != value:
                    raise ValueError(
                        f"`{name}` must be the same in all processes of `{self._name}`; got {value!r} in "
                        f"process 0 and {other[name]!r} in process {index}."
                    )

    def check_copies(self, **given: Any) -> None:
        first, *others = self._gathered({name: _digest(tree) for name, tree in given.items()})
        for index, other in enumerate(others, start=1):
            for name, value in first.items():
                if other[name] != value:
                    raise ValueError(
                        f"`{name}` must have the same numbers in all processes of `{self._name}`, where it "
                        f"does not lie on the devices of all; got others in process {index} than in 0."
                    )

    def _gathered(self, value: Any) -> list[Any]:
        """What each process gives, in the order of their numbers."""
        said = sorted(self._exchange({"value": value}, _PATIENCE).items())
        for index, other in said:
            if "failure" in other:
                raise ProcessFailedError(index, self._name, other["failure"])
        return [other["value"] for _, other in said]

    def fail(self, error: BaseException) -> None:
        """Tell the others why this process cannot go on, and wait until they know."""
        failure = f"{type(error).__name__}: {error}"
        with contextlib.suppress(Exception):  # who is told is not this process's trouble
            _client().key_value_set(f"{self._failed}/{self._index}", failure)
            self._exchange({"failure": failure}, _GRACE)

    def failure_elsewhere(self) -> ProcessFailedError | None:
        """What another process has failed with, if one has."""
        for key, failure in sorted(_client().key_value_dir_get(f"{self._failed}/")):
            index = int(key.rsplit("/", 1)[1])
            if index != self._index:
                return ProcessFailedError(index, self._name, failure)
        return None

    def _exchange(self, mine: dict[str, Any], patience: float) -> dict[int, dict[str, Any]]:
        """What each process has to say, by its number."""
        client, number = _client(), next(_ROUNDS)
        place = f"ebm_ppl/round/{number}"
        client.key_value_set(
            f"{place}/{self._index}", json.dumps({"at": self._name, **mine}, default=str)
        )
        try:
            client.wait_at_barrier(place, int(1000 * patience))
        except Exception as error:  # of a class that JAX has moved before
            failure = self.failure_elsewhere()
            if failure is not None:
                raise failure from error
            raise RuntimeError(
                f"`{self._name}` must be called by every process, in the same order; not all came to it "
                f"within {patience:.0f} s."
            ) from error
        said = client.key_value_dir_get(f"{place}/")
        values = {int(key.rsplit("/", 1)[1]): json.loads(value) for key, value in said}
        if number > 0:  # whoever is here has read what was said before
            client.key_value_delete(f"ebm_ppl/round/{number - 1}/{self._index}")
        for index, other in values.items():
            if other["at"] != self._name:
                raise RuntimeError(
                    f"`{self._name}` must be called by every process, in the same order; process {index} "
                    f"is at `{other['at']}`."
                )
        return values


_ROUNDS, _RUNS = itertools.count(), itertools.count()


class _Watch(threading.Thread):
    """Ends a process that waits on its devices for one that has failed, and will not come.

    Compiled programs wait for one another in code that no exception of Python reaches.
    """

    def __init__(self, run: _Together) -> None:
        super().__init__(name="ebm_ppl failures elsewhere", daemon=True)
        self._run, self._is_over = run, threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(_LOOK):
            failure = None
            with contextlib.suppress(Exception):  # of a coordinator that is gone JAX itself tells
                failure = self._run.failure_elsewhere()
            if failure is not None and not self._is_over.wait(_GRACE):
                print(f"ProcessFailedError: {failure}", file=sys.stderr, flush=True)  # noqa: T201
                threading.Thread(target=_leave, daemon=True).start()
                self._is_over.wait(_GRACE)
                os._exit(1)

    def stop(self) -> None:
        self._is_over.set()


def _leave() -> None:
    """Let those who are ending wait for this process no longer."""
    with contextlib.suppress(Exception):
        jax.distributed.shutdown()
    os._exit(1)


@contextlib.contextmanager
def together(name: str, *trees: Any) -> Iterator[Run]:
    """A run that all processes take part in if an array of `trees` spans them, to its end on all.

    A process that fails ends the run on the others, with its message.

    Args:
        name: Name of the function that runs.
        trees: What it is given.

    Raises:
        ProcessFailedError: If another process has failed.
    """
    if not spans(trees):
        yield ALONE
        return
    run = _Together(name)
    watch = _Watch(run)
    watch.start()
    try:
        yield run
        run.agree(None)
    except ProcessFailedError:
        raise
    except BaseException as error:
        failure = run.failure_elsewhere() if _is_broken_connection(error) else None
        if failure is not None:
            raise failure from error
        run.fail(error)
        raise
    finally:
        watch.stop()


def _digest(tree: Any) -> str:
    """Digest of the arrays that this process has for itself."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, (jax.Array, np.ndarray)) and not spans(leaf):
            add_bits(digest, leaf)
    return digest.hexdigest()


def _is_broken_connection(error: BaseException) -> bool:
    """Whether an error may be what is left of another process's failure."""
    return isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)


def _client() -> Any:
    """The coordinator's client, which JAX keeps to itself; checkpointing libraries use it so, too."""
    from jax._src import distributed

    return distributed.global_state.client
