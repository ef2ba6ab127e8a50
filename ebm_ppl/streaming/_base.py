"""What a reduction is: a part that runs beside the chains, and a part that adds up on the host."""

import abc
from typing import Any


def itself(draw: Any) -> Any:
    """The draw, which is what a reduction takes unless it is told otherwise."""
    return draw


class AbstractReduction(abc.ABC):
    """What a run keeps of its draws instead of the draws.

    A run is cut into chunks. `partial` is compiled with the chain and boils a chunk of draws down on the
    device; `merge` adds the parts up on the host, and should do so in double precision; `result` reads the
    total off.

    Args:
        of: Function of one draw of one chain, in the model's constrained coordinates, to an array or a
            pytree of arrays; the draw itself by default.

    Examples:
        The largest value that any chain has seen:

        >>> import jax, jax.numpy as jnp, numpy as np
        >>> import ebm_ppl as ebm
        >>> from ebm_ppl.streaming import AbstractReduction, stream
        >>> class Largest(AbstractReduction):
        ...     def partial(self, values):
        ...         return jnp.max(values, axis=(0, 1))
        ...
        ...     def merge(self, total, partial, is_second_half):
        ...         return partial if total is None else np.maximum(total, partial)
        ...
        ...     def result(self, total):
        ...         return total
        >>> run = stream(
        ...     ebm.MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2)),
        ...     jax.random.key(0),
        ...     num_samples=1000,
        ...     init_params=jnp.zeros((1, 2)),
        ...     reductions={"largest": Largest()},
        ...     progress_bar=False,
        ... )
        >>> run.results["largest"].shape
        (2,)
    """

    def __init__(self, of: Any = itself) -> None:
        if not callable(of):
            raise ValueError(f"`of` must be a function of one draw; got {of!r}.")
        self.of = of

    @abc.abstractmethod
    def partial(self, values: Any) -> Any:
        """Boil a chunk down; compiled.

        Args:
            values: What `of` makes of the draws; leaves of shape `(chains, length, ...)`.

        Returns:
            A pytree of arrays.
        """

    @abc.abstractmethod
    def merge(self, total: Any, partial: Any, is_second_half: bool) -> Any:
        """Add a chunk to the total.

        Args:
            total: The total before; `None` before the first chunk.
            partial: What `partial` returned, as NumPy arrays of the precision of the device.
            is_second_half: Whether the chunk is of the second half of the run.

        Returns:
            The total after, which the next call may change.
        """

    @abc.abstractmethod
    def result(self, total: Any) -> Any:
        """Read the result off.

        Args:
            total: The total of all chunks.

        Returns:
            The result.
        """
