"""Draws of an energy move with its parameters as those of its law do, or refuse to be differentiated.

Where the law is a family of shifts and scales, the derivative of each draw has a closed form: the tests
need no error rates.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO

import ebm_ppl as ebm
from ebm_ppl.energies import AbstractEnergy, Funnel, Gamma, Gaussian, Ising, Quartic, from_callable
from ebm_ppl.quadrature import QuadratureNormalizer, normalize

pytestmark = pytest.mark.usefixtures("light_compilation")

LINE = QuadratureNormalizer(bounds=(-12.0, 12.0))
PLANE = QuadratureNormalizer(bounds=((-6.0, 7.0), (-9.0, 7.0)), num_intervals=192)
DRAWS = 500


def normal(loc: Any, scale: Any) -> ebm.EnergyDistribution:
    energy = from_callable(lambda x: 0.5 * ((x - loc) / scale) ** 2, ())
    return ebm.EnergyDistribution(energy, log_z=LINE)


def with_slopes(draw: Callable, *parameters: float) -> tuple[jax.Array, ...]:
    """Draws, and the derivative of each in each parameter."""
    slopes = jax.jacfwd(draw, argnums=tuple(range(len(parameters))))(*parameters)
    return draw(*parameters), *slopes


def test_draws_of_a_normal_law_shift_and_stretch_with_it() -> None:
    key = jax.random.key(0)
    x, by_loc, by_scale = with_slopes(lambda m, s: normal(m, s).sample(key, (DRAWS,)), 2.0, 0.7)
    np.testing.assert_allclose(by_loc, 1.0, atol=0.02)
    np.testing.assert_allclose(by_scale, (x - 2.0) / 0.7, atol=0.05)


def test_draws_on_the_half_line_shrink_with_the_rate() -> None:
    def draw(rate: float) -> jax.Array:
        normalizer = QuadratureNormalizer(bounds=(1e-4, 40.0))
        return ebm.EnergyDistribution(Gamma(3.0, rate), log_z=normalizer).sample(
            jax.random.key(1), (DRAWS,)
        )

    x, slope = with_slopes(draw, 2.0)
    np.testing.assert_allclose(slope, -x / 2.0, rtol=0.02)


def test_second_derivatives_are_those_of_the_rate() -> None:
    def mean_square(rate: float) -> jax.Array:
        normalizer = QuadratureNormalizer(bounds=(1e-4, 40.0))
        law = ebm.EnergyDistribution(Gamma(3.0, rate), log_z=normalizer)
        return jnp.mean(law.sample(jax.random.key(1), (DRAWS,)) ** 2)

    value, curvature = mean_square(2.0), jax.grad(jax.grad(mean_square))(2.0)
    np.testing.assert_allclose(curvature, 6 * value / 2.0**2, rtol=0.02)


def test_the_second_coordinate_follows_the_first() -> None:
    """Rosenblatt's map of a normal law is affine, so its derivative in the covariance is that of a root."""
    loc = jnp.array([0.5, -1.0])

    def root(covariance: float | jax.Array) -> jax.Array:
        return jnp.linalg.cholesky(
            jnp.array([[1.0, 0.0], [0.0, 2.0]]) + covariance * (1 - jnp.eye(2))
        )

    def draw(covariance: float, shift: float) -> jax.Array:
        matrix = root(covariance)
        energy = Gaussian(loc + shift, matrix @ matrix.T)
        return ebm.EnergyDistribution(energy, log_z=PLANE).sample(jax.random.key(2), (DRAWS,))

    x, by_covariance, by_shift = with_slopes(draw, 0.6, 0.0)
    whitened = jnp.linalg.solve(root(0.6), (x - loc).T)
    np.testing.assert_allclose(by_shift, 1.0, atol=0.1)
    np.testing.assert_allclose(by_covariance, (jax.jacfwd(root)(0.6) @ whitened).T, atol=0.1)


@pytest.mark.parametrize("objective", [Trace_ELBO, TraceGraph_ELBO], ids=lambda kind: kind.__name__)
def test_a_guide_in_an_energys_clothes_ends_at_the_right_law(objective: type) -> None:
    """The optimum is exact, so no error rate is needed."""

    def model() -> None:
        numpyro.sample("x", dist.Normal(2.0, 1.0))

    def guide() -> None:
        loc = numpyro.param("loc", 0.0)
        scale = numpyro.param("scale", 0.5, constraint=dist.constraints.positive)
        numpyro.sample("x", normal(loc, scale))

    svi = SVI(model, guide, optax.adam(0.05), objective(num_particles=16))
    found = svi.run(jax.random.key(0), 400, progress_bar=False).params
    np.testing.assert_allclose(found["loc"], 2.0, atol=0.2)
    np.testing.assert_allclose(found["scale"], 1.0, atol=0.2)


def test_laws_say_whether_their_draws_have_gradients() -> None:
    quartic, ising = Quartic(a=1.0), Ising((3, 3), 0.3)
    assert ebm.EnergyDistribution(quartic, log_z=LINE).has_rsample
    assert ebm.EnergyDistribution(quartic, log_z=LINE).expand([3]).has_rsample
    for law in (
        ebm.EnergyDistribution(quartic),
        ebm.EnergyDistribution(quartic, log_z=normalize(quartic)),
        ebm.EnergyDistribution(ising),
        ebm.EnergyDistribution(Funnel(dim=3), log_z=LINE),
    ):
        assert not law.has_rsample
        with pytest.raises(NotImplementedError):
            law.rsample(jax.random.key(0))


@pytest.mark.parametrize("log_z", [None, 0.0], ids=str)
def test_parameters_in_a_closure_are_refused_by_name(log_z: float | None) -> None:
    def draw(width: float) -> jax.Array:
        energy = from_callable(lambda x: width * x**2, ())
        return ebm.EnergyDistribution(energy, log_z=log_z).sample(jax.random.key(0))

    with pytest.raises(NotImplementedError, match="needs fixed parameters"):
        jax.grad(draw)(1.0)


@pytest.mark.parametrize("energy", [Quartic(a=1.0), Ising((3, 3), 0.3)], ids=["real", "discrete"])
def test_draws_from_a_table_that_stays_are_not_differentiated(energy: AbstractEnergy) -> None:
    ready = ebm.EnergyDistribution(energy).with_table()

    @eqx.filter_jit
    def draw(law: ebm.EnergyDistribution) -> jax.Array:
        return jnp.sum(law.sample(jax.random.key(0), (3,)))

    assert jnp.isfinite(draw(ready))
    with pytest.raises(NotImplementedError, match="must have `has_rsample`"):
        eqx.filter_grad(draw)(ready)
