"""The likelihood of a parameter as an energy: one term per observation."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro.distributions.constraints import Constraint

from ebm_ppl._checks import check_finite
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._conditions import as_condition, named
from ebm_ppl.energies._unbatched import refuse_shape
from ebm_ppl.energies.conditional import AbstractConditionalEnergy


class LikelihoodEnergy(AbstractEnergy):
    r"""Minus the log likelihood of independent observations, as an energy of the parameter.

    $$E(\theta) = \sum_{i=1}^n F(\theta \mid x_i), \qquad F(\theta \mid x) = -\log p(x \mid \theta) + c(x).$$

    A conditional energy $F$ that `FisherScoreMatching` has trained is such a term. $\exp(-E)$ is the
    likelihood, or the posterior under a flat prior; add the energy of another prior with `SumEnergy`.

    Args:
        energy: The conditional energy $F$ of a parameter given one observation.
        observations: The observations, shape `(num_observations, *condition_shape)`.

    Raises:
        ValueError: If the observations have another shape, there are none, or one is not finite.

    Examples:
        >>> from ebm_ppl.energies import ConditionalGaussian, LikelihoodEnergy
        >>> term = ConditionalGaussian([[1.0]], [0.0], [[1.0]])  # (θ − x)² / 2
        >>> energy = LikelihoodEnergy(term, [[1.0], [3.0]])
        >>> float(energy([2.0])), energy.score([0.0]).tolist()
        (1.0, [4.0])
    """

    energy: AbstractConditionalEnergy
    observations: Float[Array, "num_observations ..."]

    def __init__(self, energy: AbstractConditionalEnergy, observations: Any) -> None:
        self.energy = energy
        self.observations = as_condition(observations)

    def __check_init__(self) -> None:
        shape, condition_shape = self.observations.shape, self.energy.condition_shape
        if condition_shape is None or self.energy.noise_conditional:
            raise ValueError(
                f"`energy` must be an energy E(x | y) of a parameter x given an observation y; got "
                f"{named(self.energy)}."
            )
        if len(shape) == 0 or shape[1:] != condition_shape or shape[0] == 0:
            expected = ", ".join(("num_observations >= 1", *map(str, condition_shape)))
            refuse_shape("observations", f"({expected})", shape, rank=1 + len(condition_shape))
        check_finite("observations", self.observations)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return self.energy.event_shape

    @property
    def support(self) -> Constraint:
        """Support of the parameter."""
        return self.energy.support

    def _energy(self, x: Event) -> Scalar:
        return jnp.sum(jax.vmap(lambda observation: self.energy(x, observation))(self.observations))
