"""Saving and loading energies."""

import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ebm_ppl._checks import check_count
from ebm_ppl._errors import UnreadableFileError
from ebm_ppl._files import write_bytes
from ebm_ppl._foreign import MOST_BYTES, read_bytes, unreadable
from ebm_ppl._processes import together
from ebm_ppl.serialization._container import MalformedError, pack, unpack
from ebm_ppl.serialization._soundness import check_sound
from ebm_ppl.serialization._tree import AnyEnergy, decode, encode

_KIND = "a whole model file"


def save_energy(
    energy: AnyEnergy,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write an energy to a model file.

    The file holds names, numbers and arrays with a checksum, and no code: reading one from a stranger
    is safe. It is written whole or not at all. Every energy of `ebm_ppl.energies` can be saved, nested
    ones and conditional ones too, except those of callables, which are code; for these and for classes of
    your own there is `equinox.tree_serialise_leaves`.

    Args:
        energy: The energy.
        path: File to write; its folder must exist.
        metadata: What else to keep, as far as JSON can hold it, such as column names and units.

    Raises:
        ValueError: If a part of the energy or the metadata cannot be saved, or `load_energy` would refuse
            what came of it.
        OSError: If the file cannot be written.
        ProcessFailedError: If the energy lies on devices of several processes, of which the first writes, and
            another of them has failed.

    Examples:
        >>> import pathlib, tempfile
        >>> import ebm_ppl as ebm
        >>> energy = ebm.energies.TemperedEnergy(ebm.energies.Quartic(a=-1.0), 0.5)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.ebm")
        ...     ebm.save_energy(energy, path, metadata={"columns": ["x"]})
        ...     again = ebm.load_energy(path)
        ...     metadata = ebm.serialization.load_metadata(path)
        >>> bool(again(1.5) == energy(1.5)), metadata
        (True, {'columns': ['x']})
    """
    if not isinstance(energy, AnyEnergy):
        raise ValueError(f"`energy` must be an energy; got {type(energy).__name__}.")
    with together(save_energy.__name__, energy) as processes:
        arrays: list[np.ndarray] = []
        tree = encode(energy, arrays)
        content = pack({"energy": tree, "metadata": _as_json(metadata or {})}, arrays)
        _check_readable(content)
        if processes.is_first:
            write_bytes(path, content)


def load_energy(path: str | os.PathLike[str], *, max_bytes: int = MOST_BYTES) -> AnyEnergy:
    """Read an energy from a model file, bit for bit as it was saved.

    The file may be a stranger's. Its sizes are held against its length before anything is made of it, and
    the kinds and shapes of all parts against what their classes say, by an abstract evaluation of the
    energy; the numbers themselves may be any. A file has at most 16 MiB and 1,048,576 values beside its
    arrays, 1,024 arrays, 1,024 energies, 32 levels of energies within energies, and points of at most
    16,777,216 coordinates.

    Args:
        path: A file that `save_energy` wrote.
        max_bytes: Size of the largest file that is read; a GiB by default.

    Returns:
        The energy.

    Raises:
        UnreadableFileError: If the file is no regular one, larger than `max_bytes`, no model file, damaged,
            of another version, or holds what is no energy; or if it holds double precision and JAX is not
            set to compute in it. It is a `ValueError`.
        OSError: If the file cannot be read.

    Examples:
        See `save_energy`.
    """
    check_count("max_bytes", max_bytes)
    header, arrays = _read(path, max_bytes)
    if any(jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype for array in arrays):
        raise UnreadableFileError(
            f"`path` holds numbers of 64 bits, which JAX would round ({os.fspath(path)!r}); set the "
            "environment variable JAX_ENABLE_X64=1, or `jax.config.update('jax_enable_x64', True)`."
        )
    try:
        _check_energy(header, arrays)
    except MalformedError as error:
        raise unreadable(path, _KIND, error) from error
    return decode(header["energy"], arrays)


def load_metadata(path: str | os.PathLike[str], *, max_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Read what was saved beside an energy.

    Args:
        path: A file that `save_energy` wrote.
        max_bytes: Size of the largest file that is read; a GiB by default.

    Returns:
        The metadata; empty if there is none.

    Raises:
        UnreadableFileError: If the file is no regular one, larger than `max_bytes`, no model file, damaged,
            or of another version. It is a `ValueError`.
        OSError: If the file cannot be read.

    Examples:
        See `save_energy`.
    """
    check_count("max_bytes", max_bytes)
    header, _ = _read(path, max_bytes)
    metadata = header.get("metadata")
    if not isinstance(metadata, dict):
        raise unreadable(path, _KIND, "holds no metadata")
    return metadata


def _read(path: str | os.PathLike[str], max_bytes: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        return unpack(read_bytes(path, _KIND, max_bytes))
    except MalformedError as error:
        raise unreadable(path, _KIND, error) from error


def _check_energy(header: dict[str, Any], arrays: list[np.ndarray]) -> None:
    """Refuse a header that describes no energy, before any of its arrays is given to JAX."""
    try:
        energy = decode(header["energy"], arrays, _shape_of)
        if not isinstance(energy, AnyEnergy):
            raise TypeError(f"a {type(energy).__name__} is no energy")
        check_sound(energy)
    except MalformedError:
        raise
    except Exception as error:  # a forged file may make anything raise anything
        raise MalformedError("holds something else than an energy") from error


def _shape_of(array: np.ndarray) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _check_readable(content: bytes) -> None:
    """Refuse to write what would not be read."""
    try:
        _check_energy(*unpack(content))
    except MalformedError as error:
        raise ValueError(
            f"`energy` must be one that can be read again to be saved; its file {error}."
        ) from error


def _as_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it will be read back: JSON makes lists of tuples."""
    plain = dict(metadata)
    try:
        return json.loads(json.dumps(plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"`metadata` must be what JSON can hold; got {plain!r}.") from error
