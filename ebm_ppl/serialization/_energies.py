"""Saving and loading energies."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ebm_ppl._files import write_bytes
from ebm_ppl.serialization._container import MalformedError, pack, unpack
from ebm_ppl.serialization._tree import AnyEnergy, decode, encode


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
        ValueError: If a part of the energy or the metadata cannot be saved.
        OSError: If the file cannot be written.

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
    arrays: list[np.ndarray] = []
    tree = encode(energy, arrays)
    content = pack({"energy": tree, "metadata": _as_json(metadata or {})}, arrays)
    write_bytes(path, content)


def load_energy(path: str | os.PathLike[str]) -> AnyEnergy:
    """Read an energy from a model file, bit for bit as it was saved.

    Args:
        path: A file that `save_energy` wrote.

    Returns:
        The energy.

    Raises:
        ValueError: If the file is no model file, is damaged, or is of another version; or if it holds
            double precision and JAX is not set to compute in it.
        OSError: If the file cannot be read.

    Examples:
        See `save_energy`.
    """
    header, arrays = _read(path)
    if any(jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype for array in arrays):
        raise ValueError(
            f"`path` holds numbers of 64 bits, which JAX would round ({os.fspath(path)!r}); set the "
            "environment variable JAX_ENABLE_X64=1, or `jax.config.update('jax_enable_x64', True)`."
        )
    try:
        energy = decode(header["energy"], arrays)
    except MalformedError as error:
        raise _refusal(path, error) from error
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise _refusal(path, "holds something else than an energy") from error
    if not isinstance(energy, AnyEnergy):
        raise _refusal(path, "holds something else than an energy")
    return energy


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what was saved beside an energy.

    Args:
        path: A file that `save_energy` wrote.

    Returns:
        The metadata; empty if there is none.

    Raises:
        ValueError: If the file is no model file, is damaged, or is of another version.
        OSError: If the file cannot be read.

    Examples:
        See `save_energy`.
    """
    header, _ = _read(path)
    metadata = header.get("metadata")
    if not isinstance(metadata, dict):
        raise _refusal(path, "holds no metadata")
    return metadata


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[np.ndarray]]:
    try:
        return unpack(pathlib.Path(path).read_bytes())
    except MalformedError as error:
        raise _refusal(path, error) from error


def _refusal(path: str | os.PathLike[str], reason: object) -> ValueError:
    return ValueError(f"`path` must name a whole model file; {os.fspath(path)!r} {reason}.")


def _as_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it will be read back: JSON makes lists of tuples."""
    plain = dict(metadata)
    try:
        return json.loads(json.dumps(plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"`metadata` must be what JSON can hold; got {plain!r}.") from error
