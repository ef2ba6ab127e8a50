"""A folder of draws, one NumPy file a site, written as they come."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from ebm_ppl._files import new_folder

Write: TypeAlias = Callable[[Any, int], None]
"""Takes draws of shape `(chains, length, ...)`, and how many of each chain came before."""


@contextlib.contextmanager
def folder_of_draws(path: str | os.PathLike[str], num_samples: int) -> Iterator[Write]:
    """Make a folder for draws, which takes its name once it is whole.

    Args:
        path: The folder; it must not exist yet.
        num_samples: Number of draws of each chain that will come.

    Yields:
        The function that writes a chunk of draws.

    Raises:
        ValueError: If `path` exists, or the folder that it would be in does not.
    """
    headers: dict[str, int] = {}

    def write(draws: Any, start: int) -> None:
        for name, leaf in _named(draws).items():
            array = np.ascontiguousarray(leaf)
            file = folder / f"{name}.npy"
            if name not in headers:
                file.parent.mkdir(parents=True, exist_ok=True)
                shape = (array.shape[0], num_samples, *array.shape[2:])
                headers[name] = np.lib.format.open_memmap(file, "w+", array.dtype, shape).offset
            # Not through the map of the file, whose pages would count as memory of the process.
            with file.open("r+b") as stream:
                for chain, values in enumerate(array):
                    row = values.nbytes // len(values)
                    stream.seek(headers[name] + (chain * num_samples + start) * row)
                    stream.write(values.data)

    with new_folder(path) as folder:
        yield write


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
