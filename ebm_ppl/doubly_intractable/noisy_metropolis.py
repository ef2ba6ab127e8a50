"""Metropolis with estimated partition functions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import init_to_uniform

from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.doubly_intractable._metropolis import AbstractDoublyIntractableKernel, Sites
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.samplers._warmup import DenseMass


class NoisyMetropolis(AbstractDoublyIntractableKernel):
    r"""Random-walk Metropolis over an energy's parameters with estimates of $\log Z(\theta)$.

    $$\alpha = \min\left(1, \frac{p(\theta')\, e^{-\sum_i E_{\theta'}(x_i)}}{p(\theta)\,
    e^{-\sum_i E_\theta(x_i)}} \left(\frac{\hat Z(\theta; u)}{\hat Z(\theta'; u)}\right)^n\right),$$
    with fresh random numbers $u$ at each step, the same for both parameters, so that most of the noise
    cancels. For each $u$ that is Metropolis for the posterior $p_u(\theta) \propto p(\theta)
    \prod_i e^{-E_\theta(x_i)} / \hat Z(\theta; u)^n$; the kernel as a whole is off the posterior by what
    these differ from it, which shrinks with the variance of $n \log \hat Z$ and vanishes for an exact
    $\log Z$.

    Args:
        model: NumPyro model with observed energies, `EnergyDistribution(energy)` without normaliser.
        log_z: Estimator of the log partition function: a function of an energy and a random key that
            returns a number or an object with a `log_z` attribute, such as an estimate of
            `ebm_ppl.partition`.
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
        Importance sampling from a wide normal distribution:

        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpyro
        >>> import numpyro.distributions as dist
        >>> from numpyro.infer import MCMC
        >>> import ebm_ppl as ebm
        >>> from ebm_ppl.doubly_intractable import NoisyMetropolis
        >>> def model(data):
        ...     a = numpyro.sample("a", dist.Normal())
        ...     with numpyro.plate("data", len(data)):
        ...         numpyro.sample("x", ebm.EnergyDistribution(ebm.energies.Quartic(a=a)), obs=data)
        >>> def log_z(energy, rng_key):
        ...     wide = dist.Normal(0.0, 2.0)
        ...     x = wide.sample(rng_key, (1000,))
        ...     log_weights = -jax.vmap(energy)(x) - wide.log_prob(x)
        ...     return jax.nn.logsumexp(log_weights) - jnp.log(1000)
        >>> mcmc = MCMC(
        ...     NoisyMetropolis(model, log_z), num_warmup=50, num_samples=50, progress_bar=False
        ... )
        >>> mcmc.run(jax.random.key(0), jnp.array([0.5, -1.0, 0.2]))
        >>> mcmc.get_samples()["a"].shape
        (50,)

    References:
        P. Alquier, N. Friel, R. Everitt and A. Boland (2016). Noisy Monte Carlo: convergence of Markov
        chains with approximate transition kernels. *Statistics and Computing* 26, 29-47.
        G. Deligiannidis, A. Doucet and M. K. Pitt (2018). The correlated pseudomarginal method. *Journal
        of the Royal Statistical Society B* 80(5), 839-870.
    """

    exact = False
    bias_order = None

    def __init__(
        self,
        model: Callable,
        log_z: Any,
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
        self._log_z: Callable[[AbstractEnergy, PRNGKey], Any] = log_z
        if not callable(log_z):
            raise ValueError(
                f"`log_z` must be a function of an energy and a random key; got {log_z!r}."
            )

    def log_z_difference(self, start: Sites, end: Sites, rng_key: PRNGKey) -> Scalar:
        """Difference of estimates with common random numbers, times the number of observations."""
        total = jnp.zeros(())
        keys = jax.random.split(rng_key, len(end))
        for name, key in zip(end, keys, strict=True):
            difference = self._estimate(end[name].energy, key)
            difference -= self._estimate(start[name].energy, key)
            total += len(end[name].x) * difference
        return total

    def _estimate(self, energy: AbstractEnergy, rng_key: PRNGKey) -> Scalar:
        estimate = self._log_z(energy, rng_key)
        return jnp.asarray(getattr(estimate, "log_z", estimate))
