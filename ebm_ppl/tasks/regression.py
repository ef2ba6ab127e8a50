"""Regression without a shape: the law of a point given a condition, its mode and its intervals."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.optimize import minimize
from jaxtyping import Array, Float

from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy, AbstractEnergy
from ebm_ppl.energies._conditions import check_all_given
from ebm_ppl.energies._supports import unconstraining
from ebm_ppl.potentials import EnergyModel, as_model
from ebm_ppl.samplers import ChEESHMC
from ebm_ppl.tasks._inputs import as_points, check_conditional
from ebm_ppl.tasks._posteriors import KernelOf, posteriors, run_settings

SEARCH_STEPS = 50
"""Most steps of BFGS from each start, which is a draw already."""


class Regression(NamedTuple):
    r"""Laws of points given conditions.

    Attributes:
        mode: The most probable point that was found, shape `(num, *event_shape)`.
        mean: Mean of each coordinate, of that shape.
        standard_deviation: Standard deviation of each coordinate, of that shape.
        lower: Lower ends of the central intervals of each coordinate, of that shape.
        upper: Upper ends.
        region_energy: Energy up to which points belong to the region of highest density, shape `(num,)`.
        draws: Draws, shape `(num, num_chains, num_samples, *event_shape)`.
        r_hat: Split R-hat of each coordinate, shape `(num, *event_shape)`.
        ess: Effective sample size of each coordinate, of that shape.
    """

    mode: Float[Array, "num *event"]
    mean: Float[Array, "num *event"]
    standard_deviation: Float[Array, "num *event"]
    lower: Float[Array, "num *event"]
    upper: Float[Array, "num *event"]
    region_energy: Float[Array, " num"]
    draws: Float[Array, "num chains samples *event"]
    r_hat: Float[np.ndarray, "num *event"]
    ess: Float[np.ndarray, "num *event"]

    @property
    def worst_r_hat(self) -> float:
        """Largest R-hat of any coordinate."""
        return float(np.nanmax(self.r_hat))

    @property
    def smallest_ess(self) -> float:
        """Smallest effective sample size of any coordinate."""
        return float(np.nanmin(self.ess))


def regress(
    energy: AbstractConditionalEnergy,
    conditions: Any,
    *,
    rng_key: PRNGKey,
    sigma: Any = None,
    kernel: KernelOf = ChEESHMC,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 16,
    probability: Any = 0.9,
) -> Regression:
    r"""Predict real quantities $x$ from conditions $y$, by an energy over $x$.

    The energy is the whole law, $p(x \mid y) \propto \exp(-E(x \mid y))$, with as many modes as it likes. It
    is drawn from, for all conditions in one compiled program, and searched for its mode
    $\operatorname{argmin}_x E(x \mid y)$ by BFGS from the best draw of each chain. What is certain about $x$
    is told in two ways, at one probability $\pi$:

    - the central interval of each coordinate, between the quantiles $(1 \mp \pi) / 2$ of its draws;
    - the region of highest density, $\{x : E(x \mid y) \le e\}$, with the quantile $\pi$ of the energies
      of draws for $e$: the smallest region of that probability, in pieces where the law has several modes.

    Both hold for the law that the energy describes; that it is the law of the data has to be checked on data.

    Args:
        energy: The energy $E(x \mid y)$, in continuous $x$.
        conditions: Conditions, shape `(num, *condition_shape)`.
        rng_key: Random key.
        sigma: Level of noise of an energy that has levels, a number.
        kernel: What makes a kernel of a model: a kernel's class, or a function. By default HMC with one
            trajectory length for all chains of a condition; `lambda model: ReplicaExchange(MALA(model))`
            for laws with modes far apart.
        num_warmup: Steps of warm-up.
        num_samples: Draws of each chain.
        num_chains: Chains for each condition.
        probability: Probability $\pi$ of intervals and regions.

    Returns:
        Modes, means, intervals, regions, and the draws with their diagnostics.

    Raises:
        ValueError: If an argument has another shape or is outside its bounds, or the energy is one of
            states, whose classes [`predict`][ebm_ppl.tasks.predict] tells.

    Warns:
        SlowMixingWarning: If R-hat of a coordinate is above 1.01.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> from ebm_ppl.tasks import regress
        >>> energy = ConditionalGaussian([[2.0]], [0.0], [[1.0]])  # x given y is N(2 y, 1)
        >>> found = regress(energy, [[1.0], [5.0]], rng_key=jax.random.key(0))
        >>> [round(x, 3) for x in found.mode[:, 0].tolist()]
        [2.0, 10.0]
        >>> print(f"[{found.lower[0, 0]:.1f}, {found.upper[0, 0]:.1f}]")
        [0.4, 3.7]

    References:
        Y. LeCun, S. Chopra, R. Hadsell, M. Ranzato and F. J. Huang (2006). A tutorial on energy-based
        learning. *Predicting Structured Data*. MIT Press.
        F. K. Gustafsson, M. Danelljan, G. Bhat and T. B. Schön (2020). Energy-based models for deep
        probabilistic regression. *European Conference on Computer Vision*.
        R. J. Hyndman (1996). Computing and graphing highest density regions. *The American Statistician* 50.
    """
    check_conditional(energy)
    if energy.support.is_discrete:
        raise ValueError(
            "`energy` must be one of continuous x; got one of states, see `predict` for classes."
        )
    settings = run_settings(rng_key, num_warmup, num_samples, num_chains, probability)
    given = as_points("conditions", conditions, energy.condition_shape or ())
    check_all_given(energy, given[0], sigma)
    shared = energy, None if sigma is None else jnp.asarray(sigma, dtype=float)
    laws = posteriors(_model_at, shared, given, kernel, rng_key, settings, "laws")
    mode, region_energy = _searched(shared, given, laws.draws, settings.probability)
    return Regression(mode=mode, region_energy=region_energy, **laws._asdict())


def _model_at(shared: tuple[AbstractConditionalEnergy, Any], y: Array) -> EnergyModel:
    energy, sigma = shared
    return as_model(energy.at(y=y, sigma=sigma), log_z=0.0)  # the energy is fixed, and so is Z


@SharedJit
def _searched(
    shared: tuple[AbstractConditionalEnergy, Any], conditions: Array, draws: Array, probability: Any
) -> tuple[Array, Array]:
    """The mode of each law, and the energy of its region of highest density."""
    energy, sigma = shared

    def one(y: Array, draws: Float[Array, "chains samples *event"]) -> tuple[Event, Scalar]:
        law = energy.at(y=y, sigma=sigma)
        energies = jax.vmap(jax.vmap(law))(draws)
        best = jnp.argmin(energies, axis=1)
        starts = draws[jnp.arange(len(draws)), best]
        return _mode(law, starts), jnp.quantile(energies, probability)

    return jax.vmap(one)(conditions, draws)


def _mode(law: AbstractEnergy, starts: Float[Array, "starts *event"]) -> Event:
    """The lowest point among starts and what a search from each of them finds."""
    transform = unconstraining(law.support)
    shape = transform.inverse_shape(law.event_shape)

    def constrained(flat: Float[Array, " size"]) -> Event:
        return jnp.asarray(transform(flat.reshape(shape)))

    def descend(start: Event) -> Event:
        flat = jnp.ravel(transform.inv(start))
        found = minimize(lambda flat: law(constrained(flat)), flat, method="BFGS", options=_OPTIONS)
        return constrained(found.x)

    points = jnp.concatenate([starts, jax.vmap(descend)(starts)])
    energies = jax.vmap(law)(points)
    return points[jnp.argmin(jnp.where(jnp.isnan(energies), jnp.inf, energies))]


_OPTIONS = {"maxiter": SEARCH_STEPS}
