"""Potentials that register an energy wrongly; the kernel on them is correct."""

from typing import Any

import jax
import jax.numpy as jnp
from numpyro.distributions import biject_to

from ebm_ppl._types import Event, Scalar
from ebm_ppl.validation.controls._base import AlteredPotential, Control


class _Broken(AlteredPotential):
    """A potential with a planted bug."""

    def log_jacobian(self, z: Event) -> Scalar:
        transform = biject_to(self.energy.support)
        return jnp.sum(transform.log_abs_det_jacobian(z, transform(z)))


class _MissingJacobian(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return self.correct(z) + self.log_jacobian(z)


class _JacobianSign(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return self.correct(z) + 2 * self.log_jacobian(z)


class _HalfJacobian(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return self.correct(z) + 0.5 * self.log_jacobian(z)


class _SlightlyTempered(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return 0.99 * self.correct(z)


class _Symmetrised(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return 0.5 * (self.correct(z) + self.correct(-z))


@jax.custom_jvp
def _five_per_cent(value: Scalar) -> Scalar:
    return value


@_five_per_cent.defjvp
def _five_per_cent_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    return primals[0], 1.05 * tangents[0]


class _GradientTooLarge(_Broken):
    def __call__(self, z: Event) -> Scalar:
        return _five_per_cent(self.correct(z))


class _GradientStopped(_Broken):
    def __call__(self, z: Event) -> Scalar:
        confinement = 0.1 * jnp.sum(z**2)
        return self.correct(z) - confinement + jax.lax.stop_gradient(confinement)


class _BesideAMillion(_Broken):
    def __call__(self, z: Event) -> Scalar:
        # Compilers would cancel the constants.
        return jax.lax.optimization_barrier(self.correct(z) + 1e6) - 1e6


CONTROLS = (
    Control(
        "energy beside a million",
        "a large constant comes and goes, and takes the digits of the energy in single precision",
        potential=_BesideAMillion,
        quick=True,
    ),
    Control(
        "missing log-Jacobian",
        "the potential leaves out the log-Jacobian of the transform",
        target="gamma",
        potential=_MissingJacobian,
        quick=True,
    ),
    Control(
        "log-Jacobian with the wrong sign",
        "the log-Jacobian is added instead of subtracted",
        target="beta",
        potential=_JacobianSign,
    ),
    Control(
        "half of the log-Jacobian",
        "half of the log-Jacobian is lost",
        target="gamma",
        potential=_HalfJacobian,
    ),
    Control("energy 1% too small", "samples at a temperature of 1.01", potential=_SlightlyTempered),
    Control("tilt averaged away", "the potential is made symmetric", potential=_Symmetrised),
    Control(
        "gradient 5% off",
        "a custom derivative rule is 5% too large",
        potential=_GradientTooLarge,
        quick=True,
    ),
    Control(
        "gradient of a term stopped",
        "a term of the energy is invisible to automatic differentiation",
        potential=_GradientStopped,
    ),
)
