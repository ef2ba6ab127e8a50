"""The functions that are asked, each with the families that are its to answer."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from ebm_ppl import MCMC
from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.hard_problems import DATA_FAMILIES, FAMILIES

_ALL = FAMILIES | DATA_FAMILIES

FEW_ERRORS = 5.0
"""Stated errors by which an answer without an interval may be off."""


class UnusableError(ValueError):
    """There are no draws, or the usual diagnostics call them unusable."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A public function under question.

    Attributes:
        name: Its name.
        ask: From a problem, or hard data, and a random key to whether the answer was right.
        families: Names of the families that it is asked, each with the numbers of coordinates.
    """

    name: str
    ask: Callable[[Any, PRNGKey], bool]
    families: dict[str, tuple[int, ...]]

    def problems(self, num_problems: int, seed: int) -> Iterator[tuple[str, int, Any, PRNGKey]]:
        """Problems, each after its family's name and number of coordinates.

        All families have as many, within one. Those of one family follow each other, for they share programs.
        """
        kinds = [(name, dim) for name, dims in self.families.items() for dim in dims]
        for index in sorted(range(num_problems), key=lambda index: index % len(kinds)):
            name, dim = kinds[index % len(kinds)]
            entropy = [seed, zlib.crc32(f"{self.name} {name}".encode()), dim, index]
            rng = np.random.default_rng(entropy)
            key = jax.random.key(int(rng.integers(2**31)))
            yield name, dim, _ALL[name].draw(rng, dim), key


def run_chains(
    kernel: Any,
    rng_key: PRNGKey,
    num_warmup: int,
    num_chains: int,
    extra_fields: tuple[str, ...] = (),
) -> MCMC:
    """A thousand draws of each of several chains, run as one batch by a program that a family shares."""
    chains = MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=1000,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    try:
        chains.run(rng_key, extra_fields=extra_fields)
    except RuntimeError as error:
        if "valid initial parameters" not in str(error):
            raise
        raise UnusableError("NumPyro finds no start") from error
    return chains


def families_in(dims: Iterable[int], without: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """The families that come in some numbers of coordinates, and in which."""
    wanted = set(dims)
    found = {
        name: tuple(dim for dim in family.dims if dim in wanted)
        for name, family in FAMILIES.items()
        if name not in without
    }
    return {name: kept for name, kept in found.items() if kept}
