"""Maximum likelihood with a partition function that is known: the yardstick of the others."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
    AbstractLatentEnergy,
)
from ebm_ppl.partition import EnumerationNormalizer
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.trainers._base import AbstractObjective, Model
from ebm_ppl.trainers._batch import Batch, energies_of, per_example


class ExactMaximumLikelihood(AbstractObjective):
    r"""Maximum likelihood, with $\log Z(\theta)$ by quadrature or by a sum over all states.

    $$\ell_i(\theta) = E_\theta(x_i) + \log Z(\theta),$$
    the negative log likelihood in nats. For a conditional energy each example has its own $\log Z(\theta;
    y_i)$.

    Args:
        normalizer: Maps an energy to its $\log Z$ and can be traced: a `QuadratureNormalizer` for one
            or two coordinates, an `EnumerationNormalizer` for discrete ones, or a closed form.

    Raises:
        ValueError: If `normalizer` is not callable.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> import ebm_ppl as ebm
        >>> energy = ebm.energies.Quartic(a=1.0, b=0.0, gamma=-2.0)
        >>> fit = ebm.fit(
        ...     energy,
        ...     jnp.array([-2.0, -1.5, -1.0, 0.5, 2.5]),
        ...     ebm.ExactMaximumLikelihood.for_energy(energy),
        ...     ebm.trainers.newton(),
        ...     num_steps=15,
        ...     rng_key=jax.random.key(0),
        ...     progress_bar=False,
        ... )
        >>> density = ebm.quadrature.normalize(
        ...     fit.energy
        ... )  # which matches the mean of the data, −0.3
        >>> print(f"{density.mean().item():.4f}")
        -0.3000
    """

    consistent = True
    is_criterion = True

    normalizer: Any

    def __check_init__(self) -> None:
        if not callable(self.normalizer):
            raise ValueError(
                f"`normalizer` must be a callable from an energy to log Z; got {self.normalizer!r}."
            )

    @classmethod
    def for_energy(
        cls, energy: Any, condition: Any = None, **options: Any
    ) -> "ExactMaximumLikelihood":
        """Choose a normaliser for an energy: a sum over states where there are any, or a grid.

        Args:
            energy: The energy, with parameters from which the fit is to start.
            condition: For conditional energies, some conditions of shape `(n, *condition_shape)` that
                stand for all: the grid spans what the energy spans at any of them.
            **options: Further arguments of `QuadratureNormalizer.for_energy` or
                `EnumerationNormalizer`.

        Returns:
            The objective.

        Raises:
            ValueError: If the energy has neither one or two coordinates nor discrete ones, or cannot be
                normalised, or is conditional and `condition` is `None`.
        """
        if isinstance(energy, AbstractConditionalEnergy):
            if condition is None:
                raise ValueError("`condition` must be given for a conditional energy; got None.")
            given = [energy.given(y) for y in np.asarray(condition)]
        else:
            given = [energy]
        if energy.support.is_discrete or isinstance(energy, AbstractLatentEnergy):
            return cls(EnumerationNormalizer(**options))
        grids = [QuadratureNormalizer.for_energy(one, **options) for one in given]
        bounds = np.array([grid.bounds for grid in grids])
        hull = np.stack([bounds[..., 0].min(axis=0), bounds[..., 1].max(axis=0)], axis=-1)
        return cls(QuadratureNormalizer(hull, grids[0].num_intervals, grids[0].edge_tolerance))

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        """Negative log likelihood of each example."""
        energies = energies_of(model.energy, batch)
        if batch.condition is None:
            return energies + self.normalizer(model.energy)

        def log_z(energy: AbstractEnergy, _: Event) -> Scalar:
            return self.normalizer(energy)

        return energies + per_example(log_z, model.energy, batch)
