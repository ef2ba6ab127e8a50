"""Maximum likelihood with a partition function that is known: the yardstick of the others."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._processes import on_host
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    AbstractEnergy,
    AbstractLatentEnergy,
)
from ebm_ppl.energies._described import described
from ebm_ppl.partition import EnumerationNormalizer
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, energies_of, per_example

GAP = "log_z_gap"
"""Name of the metric: how far log Z on a finer grid was, in the steps that looked; 0 in the others."""

LARGEST_GAP = 0.5
"""Nats. Resolved energies have 1e-6."""

_COMPARED_EVERY = 100  # steps; a grid three times as fine in the plane then costs a tenth more
_REFINEMENT = 3
_NUM_COMPARED = 4  # examples of a conditional energy, each with a partition function of its own


class ExactMaximumLikelihood(AbstractObjective):
    r"""Maximum likelihood, with $\log Z(\theta)$ by quadrature or by a sum over all states.

    $$\ell_i(\theta) = E_\theta(x_i) + \log Z(\theta),$$
    the negative log likelihood in nats. For a conditional energy each example has its own $\log Z(\theta;
    y_i)$.

    The grid of a `QuadratureNormalizer` moves by a random fraction of an interval in each step, since a
    flexible energy would otherwise put spikes between its nodes, where they cost nothing. Every hundred
    steps the history's `log_z_gap` says how far $\log Z$ on a grid three times as fine is, and a fit in
    which the two part by more than half a nat is stopped.

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
        cls, energy: Any, condition: Any = None, sigma: Any = None, **options: Any
    ) -> "ExactMaximumLikelihood":
        """Choose a normaliser for an energy: a sum over states where there are any, or a grid.

        Args:
            energy: The energy, with parameters from which the fit is to start.
            condition: For conditional energies, some conditions of shape `(n, *condition_shape)` that
                stand for all: the grid spans what the energy spans at any of them.
            sigma: Likewise some levels of noise, shape `(n,)`, for energies that depend on one.
            **options: Further arguments of `QuadratureNormalizer.for_energy` or
                `EnumerationNormalizer`.

        Returns:
            The objective.

        Raises:
            ValueError: If the energy has neither one or two coordinates nor discrete ones, or cannot be
                normalised, or `condition` or `sigma` is missing, has no place or another number of rows.
        """
        given = _fixed(energy, condition, sigma)
        if energy.support.is_discrete or isinstance(energy, AbstractLatentEnergy):
            return cls(EnumerationNormalizer(**options))
        grids = [QuadratureNormalizer.for_energy(one, **options) for one in given]
        bounds = np.array([grid.bounds for grid in grids])
        hull = np.stack([bounds[..., 0].min(axis=0), bounds[..., 1].max(axis=0)], axis=-1)
        return cls(QuadratureNormalizer(hull, grids[0].num_intervals, grids[0].edge_tolerance))

    def prepare(
        self, model: Model, batch: Batch, carried: Any, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Move the grid, where there is one; now and then compare it with a finer one."""
        if not isinstance(self.normalizer, QuadratureNormalizer):
            return Prepared(None, carried, {})
        shift = jax.random.uniform(rng_key, (len(self.normalizer.bounds),))

        def gap() -> Scalar:
            first = jax.tree.map(lambda leaf: leaf[:_NUM_COMPARED], batch)
            coarse, fine = (self._log_z(model, first, shift, n) for n in (1, _REFINEMENT))
            return jnp.max(jnp.abs(fine - coarse))

        is_due = step % _COMPARED_EVERY == 0
        metrics = {GAP: jax.lax.cond(is_due, gap, lambda: jnp.zeros(()))}
        return Prepared(shift, carried, metrics)

    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        """Negative log likelihood of each example, with the grid at the shift that was drawn."""
        return energies_of(model.energy, batch) + self._log_z(model, batch, sample)

    def trouble(self, metrics: Mapping[str, np.ndarray]) -> str | None:
        """Whether the grid and a finer one have parted, so that the fit has learned the grid."""
        worst = float(np.max(metrics.get(GAP, 0.0)))
        if worst <= LARGEST_GAP:
            return None
        return (
            f"log Z on the grid of {type(self).__name__} and on one {_REFINEMENT} times as fine are "
            f"{worst:.2g} nats apart: the energy has learned what lies between the nodes. Give "
            "`QuadratureNormalizer` a larger `num_intervals` or narrower `bounds`, or take a smaller "
            "learning rate"
        )

    def _log_z(
        self, model: Model, batch: Batch, shift: Array | None, refinement: int = 1
    ) -> Float[Array, "..."]:
        """Log Z: one, or one of each example's condition."""

        def log_z(energy: AbstractEnergy) -> Scalar:
            if shift is None:
                return self.normalizer(energy)
            return self.normalizer(energy, shift, refinement)

        if batch.condition is None:
            return log_z(model.energy)
        return per_example(lambda energy, _: log_z(energy), model.energy, batch)


def _fixed(energy: Any, condition: Any, sigma: Any) -> list[AbstractEnergy]:
    """The energy at some conditions and levels; itself alone if it depends on neither."""
    is_conditional = isinstance(energy, AbstractConditionalEnergy)
    takes = {
        "condition": is_conditional and energy.condition_shape is not None,
        "sigma": is_conditional and energy.noise_conditional,
    }
    given = {"condition": condition, "sigma": sigma}
    for name, is_taken in takes.items():
        if is_taken == (given[name] is None):
            bound = "given" if is_taken else "None"
            raise ValueError(
                f"`{name}` must be {bound} for {described(energy)}; got {given[name]!r}."
            )
    if not is_conditional:
        return [energy]
    rows = {name: on_host(value) for name, value in given.items() if value is not None}
    counts = {name: len(values) for name, values in rows.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"`condition` and `sigma` must have as many rows; got {counts}.")
    count = max(counts.values())
    return [
        energy.at(y=y, sigma=level)
        for y, level in zip(*(rows.get(name, [None] * count) for name in given), strict=True)
    ]
