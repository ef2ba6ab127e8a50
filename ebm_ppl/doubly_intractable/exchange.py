"""The exchange algorithm."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.doubly_intractable._auxiliary import Auxiliary, ends_of_chains
from ebm_ppl.doubly_intractable._metropolis import AbstractDoublyIntractableKernel, Sites
from ebm_ppl.samplers import Moves
from ebm_ppl.samplers._warmup import DenseMass


class Exchange(AbstractDoublyIntractableKernel):
    r"""The exchange algorithm: exact draws of $p(\theta \mid x)$ without any value of $Z(\theta)$.

    Propose $\theta'$ by a random walk, draw auxiliary data $w_1, \dots, w_n$ from $p(\cdot \mid \theta')$, as
    many as there are observations, and accept with probability
    $$\min\left(1, \frac{p(\theta')\, \prod_i e^{-E_{\theta'}(x_i)}}{p(\theta)\, \prod_i e^{-E_\theta(x_i)}}
    \prod_i \frac{e^{-E_\theta(w_i)}}{e^{-E_{\theta'}(w_i)}}\right).$$
    The last product is an unbiased estimate of $(Z(\theta) / Z(\theta'))^n$ from one draw, and the kernel
    is reversible with respect to the posterior all the same, provided that the auxiliary draws are exact
    (`ExactDraws`).

    With [`Moves`][ebm_ppl.samplers.Moves] the draws are where chains from the observations end: the double
    Metropolis-Hastings sampler. They only approach the energy's law, so the invariant law is off by what
    their steps have not forgotten of the data; it is right in the limit of long chains.

    The acceptance probability is below that of Metropolis with a known $Z$, the more so the larger a step
    is; warm-up tunes the step size and the mass matrix.

    Args:
        model: NumPyro model with observed energies, `EnergyDistribution(energy)` without normaliser.
        auxiliary: Where auxiliary draws come from: `ExactDraws`, `Moves`, whose schedules are read at 0, or
            any function of an `EnergySite` and a random key; one with an attribute `exact` that is `True`
            is taken at its word.
        step_size: Standard deviation of the random walk in whitened coordinates.
        inverse_mass_matrix: Initial inverse mass matrix; `None` for the identity.
        adapt_step_size: Whether warm-up tunes the step size to `target_accept_prob`.
        adapt_mass_matrix: Whether warm-up tunes the mass matrix.
        dense_mass: Whether the mass matrix is dense rather than diagonal, or the blocks of sites
            within which it is, such as `[("w",), ("x", "y")]`; `inverse_mass_matrix` may then be a
            dictionary with the blocks for keys, whose sites it has in the order of the key.
        target_accept_prob: Acceptance probability to tune to.
        init_strategy: NumPyro initialisation strategy.

    Raises:
        ValueError: If an argument is outside its bounds; when it runs, if the model has no observed
            energy without normaliser, or one that is masked, scaled or latent.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpyro
        >>> import numpyro.distributions as dist
        >>> from numpyro.infer import MCMC
        >>> import ebm_ppl as ebm
        >>> from ebm_ppl.doubly_intractable import ExactDraws, Exchange
        >>> def model(data):
        ...     a = numpyro.sample("a", dist.Normal())
        ...     with numpyro.plate("data", len(data)):
        ...         numpyro.sample("x", ebm.EnergyDistribution(ebm.energies.Quartic(a=a)), obs=data)
        >>> normalizer = ebm.quadrature.QuadratureNormalizer(bounds=(-6.0, 6.0))
        >>> mcmc = MCMC(
        ...     Exchange(model, ExactDraws(normalizer)),
        ...     num_warmup=50,
        ...     num_samples=50,
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), jnp.array([0.5, -1.0, 0.2]))
        >>> mcmc.get_samples()["a"].shape
        (50,)

        Auxiliary draws from fifty steps of MALA:

        >>> double = Exchange(model, ebm.Moves(ebm.MALA, 50, step_size=0.1))
        >>> double.exact
        False

    References:
        F. Liang (2010). A double Metropolis-Hastings sampler for spatial models with intractable
        normalizing constants. *Journal of Statistical Computation and Simulation* 80(9), 1007-1022.
        I. Murray, Z. Ghahramani and D. J. C. MacKay (2006). MCMC for doubly-intractable distributions.
        *Uncertainty in Artificial Intelligence* 22.
    """

    bias_order = None

    def __init__(
        self,
        model: Callable,
        auxiliary: Any,
        step_size: Any = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.3,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        super().__init__(
            model,
            step_size,
            inverse_mass_matrix,
            adapt_step_size,
            adapt_mass_matrix,
            dense_mass,
            target_accept_prob,
            init_strategy,
        )
        self._auxiliary = _as_auxiliary(auxiliary)

    @property
    def exact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  # a claim of its draws
        """Whether the posterior is invariant: if the auxiliary draws are exact, and say so."""
        return getattr(self._auxiliary, "exact", False)

    def log_z_difference(self, start: Sites, end: Sites, rng_key: PRNGKey) -> Scalar:
        r"""$\sum_i E_\theta(w_i) - E_{\theta'}(w_i)$ with $w_i \sim p(\cdot \mid \theta')$."""
        total = jnp.zeros(())
        keys = jax.random.split(rng_key, len(end))
        for name, key in zip(end, keys, strict=True):
            draws = self._auxiliary(end[name], key)
            total += start[name].total_energy(draws) - end[name].total_energy(draws)
        return total


def _as_auxiliary(auxiliary: Any) -> Auxiliary:
    """A function of a site and a random key; of moves, where they lead from the data."""
    is_moves = isinstance(auxiliary, Moves)
    function: Auxiliary = functools.partial(ends_of_chains, auxiliary) if is_moves else auxiliary
    if not callable(function):
        raise ValueError(
            "`auxiliary` must be a function of a site and a random key, such as "
            f"`ExactDraws(normalizer)`, or Moves; got {auxiliary!r}."
        )
    return function
