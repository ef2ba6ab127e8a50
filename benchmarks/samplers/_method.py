"""What a sampler of the benchmark is: a name, a size, and a function that makes its run."""

import dataclasses
from collections.abc import Callable

import jax

from benchmarks.samplers.targets import Target

Run = Callable[[jax.Array], jax.Array]
"""Draws of shape `(chains, samples, dim)` from a key."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A sampler and how long it runs.

    Attributes:
        library: Whose it is.
        name: Its name in the table.
        num_chains: Chains that run as one batch.
        num_warmup: Steps of warm-up.
        num_samples: Draws of each chain, times the patience that the target asks for.
        build: Makes the run for a target.
        targets: Names of the targets that it is asked; all by default.
        thinning: One of so many draws is judged, where a draw is cheap and judging it is not.
        is_quick: Whether it takes part in a quick benchmark.
    """

    library: str
    name: str
    num_chains: int
    num_warmup: int
    num_samples: int
    build: "Callable[[Target, Method], Run]"
    targets: tuple[str, ...] | None = None
    thinning: int = 1
    is_quick: bool = True

    def suits(self, target: str) -> bool:
        """Whether it is asked a target."""
        return self.targets is None or target in self.targets


def starts(target: Target, method: Method, rng_key: jax.Array) -> jax.Array:
    """Where chains start: uniformly within 2 of the origin, as NumPyro has it."""
    shape = (method.num_chains, target.dim)
    return jax.random.uniform(rng_key, shape, minval=-2.0, maxval=2.0)
