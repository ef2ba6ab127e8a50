"""Gibbs with gradients: single changes of a discrete state, proposed where the gradient points."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ebm_ppl._random import fast_key
from ebm_ppl._types import Event, PotentialFn, PRNGKey, Scalar
from ebm_ppl.energies import AbstractCategoricalEnergy
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.samplers._contract import AbstractEnergyKernel, Moved


class GibbsWithGradients(AbstractEnergyKernel):
    r"""Gibbs with gradients, for any differentiable energy of finitely many states.

    A proposal $x'$ changes one coordinate $i$ to another of its values $k$, chosen by what the gradient
    says that the energy would change,

    $$q(i, k \mid x) \propto \exp\left(-\tfrac12 \partial_i E(x)\, (k - x_i)\right),$$

    and is accepted with probability $\min(1, e^{E(x) - E(x')}\, q(x \mid x') / q(x' \mid x))$, which
    makes the kernel exact however good that guess is. Of an `AbstractCategoricalEnergy`, whose values are
    names, the guess is $\partial_{ik} E - \partial_{i x_i} E$, in the indicators $p_{ik}$, in place of
    $\partial_i E\, (k - x_i)$. A step takes two gradients of
    the energy as a function of real numbers; the potential of discrete states has none.

    Args:
        model: Model of one energy, as `ebm_ppl.as_model` makes it; exactly one of `model` and
            `potential_fn` is given. Chains start at states drawn uniformly.
        potential_fn: Potential of one energy, as `ebm_ppl.potential_fn` makes it.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or it is not that of an
            energy on finitely many states.

    Examples:
        >>> import jax
        >>> import ebm_ppl as ebm
        >>> from numpyro.infer import MCMC
        >>> energy = ebm.energies.Potts(3, 0.5, ebm.energies.Graph.lattice((3, 3)))
        >>> kernel = ebm.GibbsWithGradients(ebm.as_model(energy))
        >>> mcmc = MCMC(kernel, num_warmup=0, num_samples=50, progress_bar=False)
        >>> mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (50, 9)

    References:
        Grathwohl, Swersky, Hashemi, Duvenaud & Maddison (2021). Oops I took a gradient: scalable sampling
        for discrete distributions. International Conference on Machine Learning 38.
        Zanella (2020). Informed proposals for local MCMC in discrete spaces. Journal of the American
        Statistical Association 115.
    """

    exact = True
    bias_order = None
    reversible = True

    def __init__(
        self, model: Callable | None = None, potential_fn: PotentialFn | None = None
    ) -> None:
        super().__init__(model, potential_fn)
        space = StateSpace.of(self._energy)
        if space is None:
            raise ValueError(
                "`GibbsWithGradients` must be given an energy of finitely many states; got the support "
                f"{self._energy.support!r}."
            )
        self._space = space
        # Every coordinate gets as many columns as the one with the most values; the rest are masked.
        self._digits = np.arange(max(space.sizes))
        self._exists = self._digits < np.array(space.sizes)[:, None]

    def move(self, rng_key: PRNGKey, x: Event) -> Moved:
        """Propose to change one coordinate, and accept or stay."""
        key_choice, key_accept = jax.random.split(fast_key(rng_key))
        log_q = self.log_proposal(x)
        choice = jax.random.categorical(key_choice, log_q.ravel())
        site, digit = jnp.divmod(choice, len(self._digits))
        proposal, log_ratio = self.propose(x, log_q, site, digit)
        diverging = ~jnp.isfinite(log_ratio)
        accept_prob = jnp.where(diverging, 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
        accept = jax.random.uniform(key_accept, dtype=accept_prob.dtype) < accept_prob
        return Moved(jnp.where(accept, proposal, x), accept_prob, diverging)

    def log_proposal(self, x: Event) -> Float[Array, "dim values"]:
        """Log probability of each single change.

        Args:
            x: A state, of shape `event_shape`.

        Returns:
            The log probability of giving each coordinate each of its values, in rising order, shape
            `(dim, values)`; minus infinity for the value that it has.
        """
        current = self._digits_of(x)
        if isinstance(self._energy, AbstractCategoricalEnergy):
            relaxed = self._energy.energy_of_indicators
            slope = jax.grad(relaxed)(self._energy.indicators(x)).reshape(-1, len(self._digits))
            change = slope - jnp.take_along_axis(slope, current[:, None], axis=1)
        else:
            slope = jax.grad(self._energy)(x).ravel()
            change = slope[:, None] * self._space.step * (self._digits - current[:, None])
        is_other = self._exists & (self._digits != current[:, None])
        return jax.nn.log_softmax(jnp.where(is_other, -0.5 * change, -jnp.inf), axis=(0, 1))

    def propose(
        self,
        x: Event,
        log_q: Float[Array, "dim values"],
        site: Int[Array, ""],
        digit: Int[Array, ""],
    ) -> tuple[Event, Scalar]:
        """Change one coordinate.

        Args:
            x: A state, of shape `event_shape`.
            log_q: Its `log_proposal`.
            site: Number of the coordinate.
            digit: Number of its new value.

        Returns:
            The changed state, and the log of the acceptance ratio.
        """
        value = jnp.asarray(self._space.lowest)[site] + self._space.step * digit
        proposal = x.ravel().at[site].set(value.astype(x.dtype)).reshape(x.shape)
        back = self.log_proposal(proposal)[site, self._digits_of(x)[site]]
        return proposal, self._energy(x) - self._energy(proposal) + back - log_q[site, digit]

    def _digits_of(self, x: Event) -> Int[Array, " dim"]:
        offset = x.ravel() - jnp.asarray(self._space.lowest, dtype=x.dtype)
        return jnp.round(offset / self._space.step).astype(int)
