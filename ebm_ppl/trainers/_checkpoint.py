"""Checkpoints: data, never code; written whole or not at all; read back to the last bit."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._checks import check_count
from ebm_ppl._files import remove_leftovers, resolved, try_place, write_bytes
from ebm_ppl._foreign import MOST_BYTES, parse_archive, parse_json, read_bytes, unreadable
from ebm_ppl._locks import claim
from ebm_ppl._processes import ALONE, Run, as_numbers, on_host, restored
from ebm_ppl._programs import callbacks_of, digest_of

_MAGIC = b"ebm_ppl checkpoint 1\n"
_KIND = "a whole checkpoint"
_DIGEST_SIZE = hashlib.sha256().digest_size


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the fit goes on without it."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Where and how often a fit writes down its complete state.

    A fit that finds its own checkpoint at `path` goes on from there, and ends with the same parameters,
    bit by bit, as if it had never stopped.

    The same fit is one of the same program and data: whoever changes the learning rate or edits the
    energy's code is told so, and has to name another file. More steps may be asked for. A program that calls
    Python back (`jax.pure_callback`) hides what it does, and has no checkpoint.

    While it runs, a fit is the only one with its checkpoint. One that cannot be written, on a full disk for
    example, loses nothing: a `CheckpointWarning` names the last that is whole, and the fit goes on.

    Attributes:
        path: File to write; its folder must exist.
        every: Number of steps between two checkpoints.

    Raises:
        ValueError: If `every` is not positive, or `path` names no file in a folder that exists.
    """

    path: str | os.PathLike[str]
    every: int = 1000

    def __post_init__(self) -> None:
        check_count("every", self.every)
        if not isinstance(self.path, (str, os.PathLike)):
            raise ValueError(f"`path` must be the name of a file; got {self.path!r}.")
        path = pathlib.Path(self.path)
        if not path.parent.is_dir() or path.is_dir():
            raise ValueError(
                f"`path` must name a file in a folder that exists; got {os.fspath(self.path)!r}."
            )


def mark_of(programs: Sequence[Any], values: Any) -> str:
    """What makes two fits the same: the programs of their steps, and every bit of what they start from.

    Learning rates, schedules and step sizes hide in closures, which have no equality; in the programs they
    are constants.

    Raises:
        ValueError: If a program calls Python back, whose functions have no equality.
    """
    for name in (name for program in programs for name in callbacks_of(program)):
        raise ValueError(
            f"`checkpoint` must be None for a fit that calls Python back (`jax.{name}`): whether what is "
            "called is the same as before the interruption cannot be seen. Write it in JAX, or fit without "
            "a checkpoint."
        )
    return digest_of(programs, values)


class Keeper:
    """Writes the checkpoints of one fit, and says so when one cannot be written.

    Args:
        path: File to write.
        mark: What `mark_of` makes of the fit.
        step: Step of the checkpoint that is there; `None` if there is none.
        processes: The processes of the fit, of which the first writes.
    """

    def __init__(
        self, path: str | os.PathLike[str], mark: str, step: int | None, processes: Run
    ) -> None:
        self._path, self._mark, self._step = path, mark, step
        self._processes = processes
        self._failed = False

    def keep(self, step: int, state: Any, extra: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint; the first of some that fail is a warning, for the fit has not failed."""
        cause = None
        try:
            write(self._path, state, extra, self._mark, self._processes)
        except OSError as error:
            cause = str(error.strerror or error)
        cause = self._processes.agree(cause)
        if cause is None:
            self._step, self._failed = step, False
        elif not self._failed:
            self._failed = True
            last = "there is none" if self._step is None else f"that of step {self._step} is whole"
            warnings.warn(
                f"The checkpoint of step {step} could not be written ({cause}: "
                f"{os.fspath(self._path)!r}); {last}, and the fit goes on.",
                CheckpointWarning,
                stacklevel=3,
            )


@contextlib.contextmanager
def claimed(checkpoint: Checkpoint | None, processes: Run = ALONE) -> Iterator[None]:
    """Be the only fit with a checkpoint, whose place is tried, too.

    Args:
        checkpoint: The checkpoint, if there is to be one.
        processes: The processes of the fit, of which the first has the claim.

    Raises:
        OSError: If it could not be written, or another process has it.
    """
    if checkpoint is None or not processes.is_first:
        processes.agree(None)
        yield
        return
    target = resolved(checkpoint.path)
    with claim(target):
        remove_leftovers(target)
        try_place(target)
        processes.agree(None)
        yield


def write(
    path: str | os.PathLike[str],
    state: Any,
    extra: Mapping[str, np.ndarray],
    mark: str,
    processes: Run = ALONE,
) -> None:
    """Write the arrays of a state and some more, with a mark of the fit that they belong to.

    The file appears under its name only once all of it is on the disk.

    Args:
        path: File to write.
        state: Pytree, of which the array leaves are written.
        extra: Further arrays by name.
        mark: What `mark_of` makes of the fit.
        processes: The processes that have the state; all gather it, and the first writes.
    """
    arrays = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    leaves = [on_host(as_numbers(leaf)) for leaf in arrays]
    if not processes.is_first:
        return
    buffer = io.BytesIO()
    arrays = {
        "header": np.frombuffer(json.dumps({"mark": mark}).encode(), np.uint8),
        **{f"state/{number}": leaf for number, leaf in enumerate(leaves)},
        **{f"extra/{name}": array for name, array in extra.items()},
    }
    np.savez(buffer, allow_pickle=False, **arrays)
    body = buffer.getvalue()
    write_bytes(path, _MAGIC + hashlib.sha256(body).digest() + body)


def read(
    path: str | os.PathLike[str], like: Any, mark: str
) -> tuple[Any, dict[str, np.ndarray]] | None:
    """Read a checkpoint of the same fit.

    Args:
        path: File to read.
        like: State of the structure and shapes to expect.
        mark: What `mark_of` makes of the fit.

    Returns:
        The state and the further arrays, or `None` if there is no file.

    Raises:
        UnreadableFileError: If the file is no whole checkpoint of such a state, or a GiB larger than it.
            It is a `ValueError`.
        ValueError: If the checkpoint is one of another fit.
    """
    dynamic, static = eqx.partition(like, eqx.is_array)
    expected, structure = jax.tree.flatten(dynamic)
    most = MOST_BYTES + sum(as_numbers(leaf).nbytes for leaf in expected)
    try:
        content = read_bytes(path, _KIND, most)
    except FileNotFoundError:
        return None
    start = len(_MAGIC) + _DIGEST_SIZE
    body = content[start:]
    if (
        content[: len(_MAGIC)] != _MAGIC
        or content[len(_MAGIC) : start] != hashlib.sha256(body).digest()
    ):
        raise unreadable(path, _KIND, "is none")
    try:
        arrays = parse_archive(body)
        found = parse_json(arrays.pop("header").tobytes())["mark"]
    except Exception as error:  # a forged file may make anything raise anything
        raise unreadable(path, _KIND, "holds no arrays that a fit wrote") from error
    if found != mark:
        raise ValueError(
            f"`path` holds a checkpoint of another fit ({os.fspath(path)!r}): the energy, data, "
            "objective, optimiser, key or settings differ. Remove it, or give another path."
        )
    try:
        leaves = [_from_numpy(arrays[f"state/{n}"], leaf) for n, leaf in enumerate(expected)]
    except (KeyError, ValueError) as error:
        raise unreadable(path, _KIND, "holds another state than the fit's") from error
    extra = {k.removeprefix("extra/"): v for k, v in arrays.items() if k.startswith("extra/")}
    return eqx.combine(jax.tree.unflatten(structure, leaves), static), extra


def _from_numpy(array: np.ndarray, like: Any) -> Any:
    expected = as_numbers(like)
    # NumPy stores numbers that it does not know, such as bfloat16, as bytes without a kind.
    is_alike = array.dtype in (expected.dtype, np.dtype((np.void, expected.dtype.itemsize)))
    if not is_alike or array.shape != expected.shape:
        raise ValueError(
            f"expected {expected.dtype} of shape {expected.shape}; got {array.dtype} of {array.shape}"
        )
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        leaf = jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(like))
    else:
        leaf = jnp.asarray(array.view(expected.dtype))
    return restored(leaf, like.sharding) if len(like.sharding.device_set) > 1 else leaf
