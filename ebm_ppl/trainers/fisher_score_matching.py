"""Fisher score matching: the score in the parameter, from a simulator alone."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions import Distribution, constraints

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy, AbstractEnergy
from ebm_ppl.energies._described import described
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch, per_example
from ebm_ppl.trainers._derivatives import gradient_and_products


class FisherScoreMatching(AbstractObjective):
    r"""Fisher score matching: learn $\nabla_\theta \log p(x \mid \theta)$ from simulations.

    A simulator gives pairs $\theta \sim q$, $x \sim p(\cdot \mid \theta)$, and no likelihood. The data of the
    fit are the parameters $\theta$, its conditions the simulated $x$, and the conditional energy
    $F_\phi(\theta \mid x)$ stands for $-\log p(x \mid \theta)$ up to a function of $x$. Integration by parts
    **in the parameter** turns $\frac12 \mathbb{E} \|\nabla_\theta F_\phi + \nabla_\theta \log p(x \mid
    \theta)\|^2$ into the expectation, up to a constant, of
    $$\ell(\phi; \theta, x) = \tfrac12 \|\nabla_\theta F_\phi\|^2 - \operatorname{tr} \nabla_\theta^2 F_\phi -
    \nabla_\theta F_\phi \cdot \nabla_\theta \log q(\theta),$$
    if $q$ vanishes at the boundary. `LikelihoodEnergy` sums the trained $F$ over observations: any kernel
    samples it, any optimiser maximises the likelihood.

    With $q = N(\theta_0, \sigma^2 I)$ and an $F$ linear in $\theta$ it gives the score at $\theta_0$ of the
    likelihood smoothed by $q$: for $x \sim N(\theta, s^2)$ the score $(x - \theta_0) / (s^2 + \sigma^2)$.

    Attributes:
        proposal: The law $q$ of the parameters, a NumPyro distribution over the energy's points on all
            reals.

    Raises:
        ValueError: When the fit begins, if the energy is not one under a condition alone, or `proposal` has
            another event shape or a support with a boundary.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpyro.distributions as dist
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> from ebm_ppl.trainers import FisherScoreMatching, Model, as_batch
        >>> objective = FisherScoreMatching(dist.Normal(jnp.zeros(1), 1.0).to_event(1))
        >>> energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])  # F = (θ − x)² / 2
        >>> batch = as_batch(energy, jnp.array([[0.5]]), jnp.array([[2.5]]))
        >>> objective.losses(Model(energy), batch, None).tolist()  # 2²/2 − 1 − (−2)(−0.5)
        [0.0]

    References:
        A. Hyvärinen (2005). Estimation of non-normalized statistical models by score matching. *Journal
        of Machine Learning Research* 6, 695-709 (the integration by parts, there in the data).
        S. Khoo, Y. Wang, S. Liu and M. Beaumont (2025). Direct Fisher score estimation for likelihood
        maximization. arXiv:2506.06542.
    """

    consistent = True
    is_criterion = True

    proposal: Distribution

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, None]:
        """Nothing is learned or carried; the proposal is checked against the energy."""
        is_pair = isinstance(energy, AbstractConditionalEnergy) and not energy.noise_conditional
        if not is_pair:
            raise ValueError(
                f"`energy` must be an energy E(x | y) of the parameter x given what was simulated, y, for "
                f"{self.name}; got {described(energy)}. Take `ScoreMatching` where there is no condition, "
                "`AnnealedDenoisingScoreMatching` for an energy under noise."
            )
        event_shape = (*self.proposal.batch_shape, *self.proposal.event_shape)
        if event_shape != energy.event_shape or self.proposal.batch_shape:
            raise ValueError(
                f"Expected `proposal` of event shape {energy.event_shape} and batch shape (); got "
                f"{self.proposal.event_shape} and {self.proposal.batch_shape}."
            )
        support = self.proposal.support
        while isinstance(support, constraints.independent):
            support = support.base_constraint
        if support is not constraints.real and support is not constraints.real_vector:
            raise ValueError(f"`proposal` must have a support without boundary; got {support!r}.")
        return None, None

    def losses(self, model: Model, batch: Batch, sample: None) -> Float[Array, " num_examples"]:
        """The integrand above, for each pair of a parameter and a simulation."""

        def loss(energy: AbstractEnergy, theta: Event) -> Scalar:
            directions = jnp.eye(theta.size, dtype=theta.dtype).reshape(-1, *theta.shape)
            gradient, products = gradient_and_products(energy, theta, directions)
            proposal_score = jax.grad(self.proposal.log_prob)(theta)
            return jnp.sum(gradient * (0.5 * gradient - proposal_score)) - jnp.sum(products)

        return per_example(loss, model.energy, batch)
