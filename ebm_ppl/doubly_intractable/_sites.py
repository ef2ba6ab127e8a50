"""The observed energies of a NumPyro model, as functions of its parameters."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpyro import handlers
from numpyro.distributions import ExpandedDistribution, Independent

from ebm_ppl._numpyro import MODELS
from ebm_ppl._types import Scalar
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.samplers._numpyro import ModelArgs, ModelKwargs


class EnergySite(NamedTuple):
    """An energy at one value of the parameters, and the data that it explains.

    Attributes:
        energy: The energy.
        x: Independent observations of it, shape `(num_observations, *event_shape)`.
    """

    energy: AbstractEnergy
    x: Float[Array, "num_observations *event"]

    def total_energy(self, points: Float[Array, "num_points *event"]) -> Scalar:
        """Sum of the energies of some points."""
        return jnp.sum(jax.vmap(self.energy)(points))


def energy_sites(
    model: Callable, model_args: ModelArgs, model_kwargs: ModelKwargs, parameters: Mapping[str, Any]
) -> dict[str, EnergySite]:
    """Run a model at given parameters and find the energies that lack a normaliser.

    Args:
        model: A NumPyro model.
        model_args: Its arguments.
        model_kwargs: Its keyword arguments.
        parameters: Constrained values of its latent sites.

    Returns:
        The sites by name.

    Raises:
        ValueError: If the model has no such energy, or one is not observed, masked, or scaled.
    """
    with MODELS, handlers.seed(rng_seed=0), handlers.substitute(data=dict(parameters)):
        trace = handlers.trace(model).get_trace(*model_args, **(model_kwargs or {}))
    sites = {}
    for name, site in trace.items():
        if site["type"] == "sample" and (energy := _energy_of(site["fn"])) is not None:
            _check_plain(name, site)
            x = jnp.asarray(site["value"])
            # An observation that is shared by a plate counts for each of its members.
            x = jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, site["fn"].shape()))
            split = x.ndim - len(energy.event_shape)
            count = math.prod(x.shape[:split])
            sites[name] = EnergySite(energy, x.reshape(count, *energy.event_shape))
    if not sites:
        raise ValueError(
            "`model` must have an observed EnergyDistribution without `log_z`; got none. A model without "
            "one needs no kernel of this kind: use NUTS."
        )
    return sites


def _energy_of(distribution: Any) -> AbstractEnergy | None:
    """The energy without normaliser that a distribution is made of."""
    while not isinstance(distribution, EnergyDistribution):
        if not hasattr(distribution, "base_dist"):
            return None
        distribution = distribution.base_dist
    return distribution.energy if distribution.log_z is None else None


def _check_plain(name: str, site: Mapping[str, Any]) -> None:
    distribution = site["fn"]
    while isinstance(distribution, (ExpandedDistribution, Independent)):
        distribution = distribution.base_dist
    obstacles = {
        "latent": not site["is_observed"],
        "scaled or subsampled": site["scale"] is not None,
        f"wrapped in a {type(distribution).__name__}": not isinstance(
            distribution, EnergyDistribution
        ),
    }
    for obstacle, holds in obstacles.items():
        if holds:
            raise ValueError(
                f"Site {name!r} of `model` must be observed as it is, since its partition function "
                f"depends on parameters; it is {obstacle}."
            )
