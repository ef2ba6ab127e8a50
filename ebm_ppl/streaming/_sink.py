"""A folder of draws, one NumPy file a site, written as they come."""

import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from ebm_ppl._files import new_folder, reserve

Write: TypeAlias = Callable[[Any, int], None]
"""Takes draws of shape `(chains, length, ...)`, and how many of each chain came before."""


@contextlib.contextmanager
def folder_of_draws(path: str | os.PathLike[str], num_samples: int, like: Any) -> Iterator[Write]:
    """Make a folder for draws, which takes its name once it is whole.

    Its files are made at once, with the space that they need where the disk can reserve it, so that a disk
    that is too small is found before the first step of a run.

    Args:
        path: The folder; it must not exist yet.
        num_samples: Number of draws of each chain that will come.
        like: Draws of any length, or their shapes and dtypes.

    Yields:
        The function that writes a chunk of draws.

    Raises:
        ValueError: If `path` exists, or the folder that it would be in does not, or a site's name would
            lead out of it.
        OSError: If the folder cannot be made or filled, or another process is making it.
    """
    leaves = _named(like)
    with new_folder(path) as folder:
        headers = {
            name: _new_array(folder / f"{name}.npy", leaf, num_samples)
            for name, leaf in leaves.items()
        }

        def write(draws: Any, start: int) -> None:
            for name, leaf in _named(draws).items():
                array = np.ascontiguousarray(leaf)
                # Not through a map of the file, whose pages would count as memory of the process.
                with (folder / f"{name}.npy").open("r+b") as stream:
                    for chain, values in enumerate(array):
                        row = values.nbytes // len(values)
                        stream.seek(headers[name] + (chain * num_samples + start) * row)
                        stream.write(values.data)

        yield write


def _new_array(file: pathlib.Path, leaf: Any, num_samples: int) -> int:
    """Make a NumPy file for the draws of one site; returns where its numbers begin."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (leaf.shape[0], num_samples, *leaf.shape[2:])
    with file.open("xb") as stream:
        np.lib.format.write_array_header_1_0(
            stream,
            {
                "descr": np.lib.format.dtype_to_descr(np.dtype(leaf.dtype)),
                "fortran_order": False,
                "shape": shape,
            },
        )
        start = stream.tell()
        size = start + math.prod(shape) * np.dtype(leaf.dtype).itemsize
        stream.truncate(size)
        reserve(stream, size)
    return start


def _named(draws: Any) -> dict[str, Any]:
    """Arrays by the name of their file: that of the site, or `draws` where there is one array."""
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator=".") or "draws": leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(draws)
    }
    for name in leaves:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(
                f"Sites whose draws are kept must not lie outside `path`; got {name!r}."
            )
    return leaves
