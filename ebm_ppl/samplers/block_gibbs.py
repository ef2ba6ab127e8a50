"""Block Gibbs sampling: redraw every block of coordinates from its exact conditional law."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._random import fast_key
from ebm_ppl._types import Event, PotentialFn, PRNGKey
from ebm_ppl.energies import AbstractBlockwiseEnergy, AbstractEnergy
from ebm_ppl.samplers._contract import AbstractEnergyKernel, Moved


class BlockGibbs(AbstractEnergyKernel):
    r"""Block Gibbs: each step redraws every block of coordinates given all the others.

    With the blocks $x_1, \dots, x_K$ of an energy a sweep draws, one after the other,

    $$x_k' \sim p\left(x_k \mid x_1', \dots, x_{k-1}', x_{k+1}, \dots, x_K\right),$$

    each of which leaves $p$ invariant. The blocks are those of the energy: the two layers of a restricted
    Boltzmann machine (the hidden one is drawn and dropped), the colours of a graph. There is no
    acceptance step, so `accept_prob` is always 1, and nothing to tune. Run in a fixed order, more than two
    blocks are not reversible, and no reversibility is claimed.

    Args:
        model: Model of one energy, as `ebm_ppl.as_model` makes it; exactly one of `model` and
            `potential_fn` is given. Chains start at states drawn uniformly.
        potential_fn: Potential of one energy, as `ebm_ppl.potential_fn` makes it.
        num_sweeps: Number of sweeps in a step.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, it is not that of an
            `AbstractBlockwiseEnergy`, or `num_sweeps` is no positive integer.

    Examples:
        >>> import jax
        >>> import ebm_ppl as ebm
        >>> from numpyro.infer import MCMC
        >>> machine = ebm.energies.RestrictedBoltzmannMachine.random(jax.random.key(0), 8, 4)
        >>> mcmc = MCMC(
        ...     ebm.BlockGibbs(ebm.as_model(machine)),
        ...     num_warmup=0,
        ...     num_samples=50,
        ...     num_chains=4,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(1))
        >>> mcmc.get_samples()["x"].shape
        (200, 8)

    References:
        Geman & Geman (1984). Stochastic relaxation, Gibbs distributions, and the Bayesian restoration
        of images. IEEE Transactions on Pattern Analysis and Machine Intelligence 6.
        Gonzalez, Low, Gretton & Guestrin (2011). Parallel Gibbs sampling: from colored fields to thin
        junction trees. Artificial Intelligence and Statistics 14.
    """

    exact = True
    bias_order = None
    reversible = False

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        num_sweeps: int = 1,
    ) -> None:
        super().__init__(model, potential_fn)
        self._blockwise = _blockwise(self._energy)
        check_count("num_sweeps", num_sweeps)
        self._num_sweeps = num_sweeps

    def with_potential(
        self, potential_fn: PotentialFn, axis_name: str | None = None
    ) -> "BlockGibbs":
        """Copy of this kernel for another blockwise energy, whose registered potential is given."""
        kernel = super().with_potential(potential_fn, axis_name)
        assert isinstance(kernel, BlockGibbs)  # for the type checker
        kernel._blockwise = _blockwise(kernel._energy)
        return kernel

    def move(self, rng_key: PRNGKey, x: Event) -> Moved:
        """Sweep over all blocks."""

        def sweep(x: Event, rng_key: PRNGKey) -> tuple[Event, None]:
            return self._blockwise.gibbs_sweep(rng_key, x), None

        if self._num_sweeps == 1:
            x, _ = sweep(x, rng_key)
        else:
            x, _ = jax.lax.scan(sweep, x, jax.random.split(rng_key, self._num_sweeps))
        return Moved(x, jnp.ones(()), jnp.asarray(False))

    def sweep_all(
        self, rng_key: PRNGKey, x: Float[Array, "num_chains *event"], num_steps: int
    ) -> Float[Array, "num_chains *event"]:
        """Make a few steps with many chains.

        Args:
            rng_key: Random key of all of them.
            x: Where the chains stand, shape `(num_chains, *event_shape)`.
            num_steps: Number of steps, at least 1.

        Returns:
            Where they stand then. Energies that sweep batches take one key for all chains.
        """
        energy = self._blockwise

        def sweep(x: Array, rng_key: PRNGKey) -> tuple[Array, None]:
            if energy.sweeps_batches:
                return energy.gibbs_sweep(rng_key, x), None
            keys = jax.random.split(rng_key, len(x))
            return jax.vmap(energy.gibbs_sweep)(keys, x), None

        num_sweeps = num_steps * self._num_sweeps
        if num_sweeps == 1:
            return sweep(x, fast_key(rng_key))[0]
        return jax.lax.scan(sweep, x, jax.random.split(fast_key(rng_key), num_sweeps))[0]


def _blockwise(energy: AbstractEnergy) -> AbstractBlockwiseEnergy:
    if not isinstance(energy, AbstractBlockwiseEnergy):
        raise ValueError(
            "`BlockGibbs` must be given an AbstractBlockwiseEnergy, which knows its conditional "
            f"laws; got {type(energy).__name__}. GibbsWithGradients takes any other discrete one."
        )
    return energy
