"""Metropolis-Hastings with proposals that do not depend on the state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import Distribution
from numpyro.distributions.constraints import Constraint
from numpyro.infer import init_to_uniform

from ebm_ppl._checks import check_shape
from ebm_ppl._processes import on_host
from ebm_ppl._types import PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract import (
    AbstractKernel,
    KernelState,
    Point,
    Settings,
    Transition,
    WhitenedTarget,
    accept_or_stay,
)


class IndependenceMetropolis(AbstractKernel):
    r"""Independence sampler: propose $z' \sim q$ wherever the chain is.

    $$\alpha = \min\left(1, \frac{e^{-U(z')}\, q(z)}{e^{-U(z)}\, q(z')}\right).$$

    No gradient is computed, and a jump between modes is as likely as any other. The better $q$ covers
    the target, the better it mixes: uniformly fast where $e^{-U} / q$ is bounded, and with long
    stays in the tails where it is not, so $q$ should be the wider of the two. In many dimensions it
    serves beside a local kernel rather than alone. There is nothing to tune, and warm-up learns
    nothing.

    If $q$ has bounded support, nothing outside is proposed, and a chain that stands outside never
    moves (its steps are flagged as `diverging`). The target is invariant all the same, but such a
    kernel reaches all of it only in combination with another.

    Args:
        model: NumPyro model; exactly one of `model` and `potential_fn` is given.
        potential_fn: Potential energy of an unconstrained position, an array or a pytree.
        proposal: The law $q$, a continuous NumPyro distribution of event shape `(dim,)` over the flat
            unconstrained position, in the order of `jax.flatten_util.ravel_pytree`.
        init_strategy: NumPyro initialisation strategy for models.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, or `proposal` is no such
            distribution; when it runs, if its event shape is not that of the position.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> import numpyro.distributions as dist
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.samplers import IndependenceMetropolis
        >>> wide = dist.Normal(0.0, 2.0).expand([2]).to_event(1)
        >>> kernel = IndependenceMetropolis(
        ...     potential_fn=lambda z: 0.5 * jnp.sum(z**2), proposal=wide
        ... )
        >>> mcmc = MCMC(kernel, num_warmup=0, num_samples=100, progress_bar=False)
        >>> mcmc.run(jax.random.key(0), init_params=jnp.zeros(2))
        >>> mcmc.get_samples().shape
        (100, 2)

    References:
        Hastings (1970). Monte Carlo sampling methods using Markov chains and their applications.
        Biometrika 57.
        Tierney (1994). Markov chains for exploring posterior distributions. Annals of Statistics 22.
        Mengersen & Tweedie (1996). Rates of convergence of the Hastings and Metropolis algorithms.
        Annals of Statistics 24.
    """

    exact = True
    bias_order = None
    reversible = True
    gradient_evaluations_per_step = 0
    potential_evaluations_per_step = 1

    def __init__(
        self,
        model: Callable | None = None,
        potential_fn: PotentialFn | None = None,
        *,
        proposal: Distribution,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(model, potential_fn, init_strategy=init_strategy)
        self._support = _support_of(proposal)
        self._proposal = proposal

    def init_auxiliary(
        self,
        rng_key: PRNGKey,  # noqa: ARG002
        position: Float[Array, " dim"],
    ) -> tuple[()]:
        """Nothing is carried; the proposal must fit the position."""
        if self._proposal.event_shape != position.shape:
            raise ValueError(
                f"`proposal` must have event shape {position.shape}, as the flat unconstrained "
                f"position has; got {self._proposal.event_shape}."
            )
        return ()

    def log_acceptance(self, start: Point, end: Point) -> Scalar:
        r"""Log of the acceptance ratio, before the minimum with 1.

        Args:
            start: The point $z$.
            end: The point $z'$.

        Returns:
            The log ratio; not finite where the proposal has to be refused.
        """
        energy_drop = start.potential_energy - end.potential_energy
        return energy_drop + self._log_density(start.z) - self._log_density(end.z)

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,  # noqa: ARG002
    ) -> Transition:
        """Propose, and accept or stay."""
        key_proposal, key_accept = jax.random.split(rng_key)
        draw = jnp.asarray(self._proposal.sample(key_proposal), dtype=start.z.dtype)
        end = target.evaluate_at(draw)
        uniform = jax.random.uniform(key_accept, dtype=start.z.dtype)
        return accept_or_stay(uniform, start, end, self.log_acceptance(start, end), auxiliary)

    def get_diagnostics_str(self, state: KernelState) -> str:
        """Mean acceptance probability over all chains, for the progress bar."""
        return f"acc. prob={float(np.mean(on_host(state.mean_accept_prob))):.2f}"

    def _log_density(self, z: Float[Array, " dim"]) -> Scalar:
        """Log density of the proposal; NumPyro's own is any number outside the support."""
        log_prob = jnp.asarray(self._proposal.log_prob(z), dtype=z.dtype)
        return jnp.where(self._support(z), log_prob, -jnp.inf)


def _support_of(proposal: Any) -> Constraint:
    """Support of a continuous distribution of vectors with draws and a density; refuse all else."""

    def density_of_a_draw(rng_key: PRNGKey) -> Any:
        return proposal.log_prob(proposal.sample(rng_key))

    bound = "a continuous NumPyro distribution with batch shape () and event shape (dim,)"
    if not isinstance(proposal, Distribution) or proposal.support is None:
        raise ValueError(f"`proposal` must be {bound}; got {proposal!r}.")
    name = type(proposal).__name__
    if proposal.batch_shape or len(proposal.event_shape) != 1 or proposal.is_discrete:
        shapes = f"batch shape {proposal.batch_shape} and event shape {proposal.event_shape}"
        raise ValueError(f"`proposal` must be {bound}; got {name} with {shapes}.")
    try:
        log_prob = jax.eval_shape(density_of_a_draw, jax.random.key(0))
    except NotImplementedError as error:
        raise ValueError(f"`proposal` must have draws and a density; got {name}.") from error
    check_shape("proposal.log_prob(z)", log_prob, ())
    return proposal.support
