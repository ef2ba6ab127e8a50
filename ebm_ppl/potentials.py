"""Registration with NumPyro: an energy becomes a potential function on unconstrained space, or a model."""

import dataclasses
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro

from ebm_ppl._checks import check_shape
from ebm_ppl._types import Event, Scalar
from ebm_ppl.distribution import EnergyDistribution, LogZ
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._described import in_place_of_energy
from ebm_ppl.energies._supports import unconstraining
from ebm_ppl.energies._unbatched import check_one_law


class EnergyPotential(eqx.Module):
    r"""Potential of an energy on unconstrained space, log-Jacobian included.

    With the bijection $T$ from $\mathbb{R}^d$ to the energy's support (NumPyro's `biject_to`),
    $$U(z) = E(T(z)) - \log \lvert \det \partial T / \partial z \rvert,$$
    so that $z \sim \exp(-U)$ means $T(z) \sim \exp(-E)$. On a discrete support $T$ is the identity, positions
    are states, and $U$ has no gradient: asking for it is a `TypeError`, since a kernel that moves along
    one would leave the states. It is a pytree and can be pickled.
    """

    energy: AbstractEnergy

    @property
    def position_shape(self) -> tuple[int, ...]:
        """Shape of an unconstrained position."""
        return unconstraining(self.energy.support).inverse_shape(self.energy.event_shape)

    def __call__(self, z: Event) -> Scalar:
        """Potential energy of one unconstrained position.

        Args:
            z: The position, of shape `position_shape`.

        Returns:
            The potential, a scalar.

        Raises:
            ValueError: If `z` has another shape.
        """
        check_shape("z", z, self.position_shape)
        if self.energy.support.is_discrete:
            return self.energy(_without_gradient(jnp.asarray(z)))
        transform = unconstraining(self.energy.support)
        x = transform(z)
        return self.energy(x) - jnp.sum(transform.log_abs_det_jacobian(z, x))

    def constrain(self, z: Event) -> Event:
        """Map one unconstrained position, or a batch of them, into the energy's support."""
        return jnp.asarray(unconstraining(self.energy.support)(z))

    def unconstrain(self, x: Event) -> Event:
        """Map one point of the support, or a batch of them, to unconstrained space."""
        return jnp.asarray(unconstraining(self.energy.support).inv(x))


@jax.custom_jvp
def _without_gradient(z: Event) -> Event:
    return z


@_without_gradient.defjvp
def _refuse_gradient(primals: object, tangents: object) -> NoReturn:  # noqa: ARG001
    raise TypeError(
        "The potential of a discrete energy has no gradient, so kernels that need one cannot sample "
        "it; use BlockGibbs or another kernel for discrete energies."
    )


def potential_fn(energy: AbstractEnergy) -> EnergyPotential:
    r"""Register an energy as a NumPyro potential function.

    Args:
        energy: Any energy.

    Returns:
        A callable $U(z)$ on unconstrained positions, for the `potential_fn` argument of any NumPyro
        kernel. Draws come back unconstrained: give `MCMC(..., postprocess_fn=potential.constrain)` to
        receive points of the support.

    Raises:
        TypeError: If `energy` is not an `AbstractEnergy`; adapters in `ebm_ppl.energies` make one of a
            plain function, a log density or a Flax NNX module.
        ValueError: If `energy` holds several laws at once, as what `jax.vmap` returns does, or is not one
            number.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import ebm_ppl as ebm
        >>> from numpyro.infer import MCMC, NUTS
        >>> potential = ebm.potential_fn(ebm.energies.Gamma(3.0, 1.0))
        >>> mcmc = MCMC(
        ...     NUTS(potential_fn=potential),
        ...     num_warmup=200,
        ...     num_samples=200,
        ...     postprocess_fn=potential.constrain,
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0), init_params=jnp.array(0.0))
        >>> bool((mcmc.get_samples() > 0).all())
        True
    """
    _check_energy(energy)
    return EnergyPotential(energy)


@dataclasses.dataclass(frozen=True, eq=False)
class EnergyModel:
    """NumPyro model with one sample site that follows an energy. It can be pickled."""

    energy: AbstractEnergy
    name: str = "x"
    log_z: LogZ = None

    def __call__(self) -> Event:
        """Sample the site and return its value."""
        law = EnergyDistribution(self.energy, self.log_z)
        # NumPyro's kernels refuse a discrete site that is not to be enumerated, and quote this.
        is_discrete = self.energy.support.is_discrete
        infer = {"enumerate": "for BlockGibbs or GibbsWithGradients only"} if is_discrete else None
        return jnp.asarray(numpyro.sample(self.name, law, infer=infer))


def as_model(energy: AbstractEnergy, name: str = "x", log_z: LogZ = None) -> EnergyModel:
    """Register an energy as a NumPyro model with a single sample site.

    Args:
        energy: Any energy.
        name: Name of the sample site.
        log_z: Normaliser, as `EnergyDistribution` takes it; sampling needs none.

    Returns:
        A model without arguments, for the `model` argument of any NumPyro kernel.

    Raises:
        TypeError: If `energy` is not an `AbstractEnergy`.
        ValueError: If `energy` holds several laws at once, as what `jax.vmap` returns does, or is not one
            number.

    Examples:
        >>> import jax
        >>> import ebm_ppl as ebm
        >>> from numpyro.infer import MCMC
        >>> kernel = ebm.MALA(ebm.as_model(ebm.energies.DoubleWell(dim=2)))
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=100,
        ...     num_samples=100,
        ...     num_chains=4,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0))
        >>> mcmc.get_samples()["x"].shape
        (400, 2)
    """
    _check_energy(energy)
    return EnergyModel(energy, name, log_z)


def _check_energy(energy: object) -> None:
    if not isinstance(energy, AbstractEnergy):
        raise TypeError(
            f"`energy` must be an AbstractEnergy; got {in_place_of_energy(energy)}. Make one with "
            "ebm_ppl.energies.from_callable, from_logdensity or from_nnx."
        )
    check_one_law(energy)
