"""One law many times: `expand` and plates of an `EnergyDistribution`, and maps over several laws."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density

import ebm_ppl as ebm
from ebm_ppl.energies import Gaussian, Quartic, TiltedDoubleWell
from ebm_ppl.quadrature import QuadratureNormalizer

pytestmark = pytest.mark.usefixtures("light_compilation")

MEAN, COVARIANCE = np.array([0.5, -1.0]), np.array([[1.0, 0.3], [0.3, 0.5]])
NORMAL = Gaussian(MEAN, COVARIANCE)
LAW = ebm.EnergyDistribution(
    NORMAL, log_z=np.log(2 * np.pi) + 0.5 * np.log(np.linalg.det(COVARIANCE))
)
POINTS = jax.random.normal(jax.random.key(0), (4, 3, 2))
SIGMA = 0.7


@pytest.mark.parametrize("batch", [(3,), (4, 3), (1,)])
def test_shapes_of_an_expanded_law_are_those_of_numpyros(batch: tuple[int, ...]) -> None:
    theirs = dist.MultivariateNormal(MEAN, COVARIANCE).expand(batch)
    ours = LAW.expand(batch)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert ours.sample(jax.random.key(0), (5,)).shape == (5, *batch, 2)
    values = jnp.broadcast_to(POINTS, np.broadcast_shapes(POINTS.shape, (*batch, 2)))
    np.testing.assert_allclose(ours.log_prob(values), theirs.log_prob(values), rtol=1e-4)
    assert ours.mean.shape == ours.variance.shape == (*batch, 2)
    joint, their_joint = ours.to_event(len(batch)), theirs.to_event(len(batch))
    np.testing.assert_allclose(joint.log_prob(values), their_joint.log_prob(values), rtol=1e-4)


def test_draws_of_an_expanded_law_are_independent() -> None:
    """Correlation of two members of 20,000 pairs, at 5.5 standard errors: false alarm 4e-8."""
    first, second = LAW.expand([2]).sample(jax.random.key(1), (20_000,))[..., 0].T
    assert abs(np.corrcoef(first, second)[0, 1]) < 5.5 / np.sqrt(20_000)


def test_gradients_of_an_expanded_law_are_the_scores() -> None:
    slope = jax.grad(lambda x: LAW.expand([4, 3]).log_prob(x).sum())(POINTS)
    np.testing.assert_allclose(slope, jax.vmap(jax.vmap(NORMAL.score))(POINTS), rtol=1e-5)


def test_gradients_in_the_parameters_are_those_of_all_members() -> None:
    data = jnp.array([0.3, -0.5, 1.1])

    def total(a: jax.Array, of_each: bool) -> jax.Array:
        law = ebm.EnergyDistribution(Quartic(a=a), log_z=QuadratureNormalizer((-6.0, 6.0)))
        if of_each:
            return sum((law.log_prob(x) for x in data), start=jnp.zeros(()))
        return law.expand([3]).log_prob(data).sum()

    slopes = [jax.grad(total)(0.4, of_each) for of_each in (False, True)]
    np.testing.assert_allclose(*slopes, rtol=1e-5)


def joint(model: Callable[..., None], values: dict[str, Any], *args: Any) -> jax.Array:
    return log_density(model, args, {}, values)[0]


def seen_under_noise(y: jax.Array) -> None:
    with numpyro.plate("members", len(y)):
        x = numpyro.sample("x", LAW)
        numpyro.sample("y", dist.Normal(x, SIGMA).to_event(1), obs=y)


def test_posterior_of_latent_members_of_a_plate_is_the_analytic_one() -> None:
    """It is normal, so that its log density is known by its derivatives."""
    y = POINTS[0]
    precision = np.linalg.inv(COVARIANCE) + np.eye(2) / SIGMA**2
    mean = (np.linalg.solve(COVARIANCE, MEAN) + np.asarray(y) / SIGMA**2) @ np.linalg.inv(precision)

    def log_posterior(x: jax.Array) -> jax.Array:
        return joint(seen_under_noise, {"x": x}, y)

    np.testing.assert_allclose(jax.grad(log_posterior)(jnp.asarray(mean)), 0.0, atol=1e-5)
    curvature = -jax.hessian(log_posterior)(jnp.zeros((3, 2)))
    expected = np.einsum("ij,ab->iajb", np.eye(3), precision)
    np.testing.assert_allclose(curvature, expected, rtol=1e-5, atol=1e-5)
    evidence = dist.MultivariateNormal(MEAN, COVARIANCE + SIGMA**2 * np.eye(2)).log_prob(y).sum()
    at_mean = 0.5 * 3 * (np.linalg.slogdet(precision / (2 * np.pi))[1])
    np.testing.assert_allclose(log_posterior(jnp.asarray(mean)) - at_mean, evidence, rtol=1e-5)


def seen_themselves(data: jax.Array, subsample_size: int | None = None) -> None:
    loc = numpyro.sample("loc", dist.Normal(0.0, 1.0))
    law = ebm.EnergyDistribution(Gaussian(loc[None], [[1.0]]), QuadratureNormalizer((-9.0, 9.0)))
    with numpyro.plate("data", 6, subsample_size) as kept:
        numpyro.sample("x", law, obs=data[kept])


def test_posterior_of_a_parameter_above_a_plate_is_the_analytic_one() -> None:
    data = jnp.array([0.3, -0.5, 1.1, 0.2, 0.9, -0.1])[:, None]
    mean = jnp.sum(data) / 7

    def log_posterior(loc: jax.Array) -> jax.Array:
        return joint(seen_themselves, {"loc": loc}, data)

    np.testing.assert_allclose(jax.grad(log_posterior)(mean), 0.0, atol=1e-4)
    np.testing.assert_allclose(jax.hessian(log_posterior)(mean), -7.0, rtol=1e-4)


def test_part_of_a_plate_counts_for_the_whole() -> None:
    data = jnp.full((6, 1), 0.4)  # so that it does not matter which part
    with numpyro.handlers.seed(rng_seed=0):
        part = joint(seen_themselves, {"loc": jnp.array(0.2)}, data, 3)
    np.testing.assert_allclose(
        part, joint(seen_themselves, {"loc": jnp.array(0.2)}, data), rtol=1e-5
    )


def test_plates_of_draws_have_a_member_each() -> None:
    draws = numpyro.infer.Predictive(seen_under_noise, num_samples=5)(jax.random.key(0), POINTS[0])
    assert draws["x"].shape == (5, 3, 2)


def test_several_laws_are_mapped_over_within_a_model() -> None:
    """What an energy with a batch of parameters is told to do instead."""
    slopes, x = jnp.array([0.5, -0.5, 1.5]), jnp.array([[0.1], [0.2], [0.3]])

    def energy_of(b: jax.Array) -> TiltedDoubleWell:
        return TiltedDoubleWell(tilt=b)

    def mapped() -> None:
        b = numpyro.sample("b", dist.Normal().expand([3]).to_event(1))

        def log_prob(b: jax.Array, x: jax.Array) -> jax.Array:
            law = ebm.EnergyDistribution(energy_of(b), QuadratureNormalizer((-6.0, 6.0)))
            return law.log_prob(x)

        numpyro.factor("x", jax.vmap(log_prob)(b, x).sum())

    def one_by_one() -> None:
        b = numpyro.sample("b", dist.Normal().expand([3]).to_event(1))
        for i in range(3):
            law = ebm.EnergyDistribution(energy_of(b[i]), QuadratureNormalizer((-6.0, 6.0)))
            numpyro.sample(f"x_{i}", law, obs=x[i])

    slope = [jax.grad(lambda b, m=m: joint(m, {"b": b}))(slopes) for m in (mapped, one_by_one)]
    np.testing.assert_allclose(*slope, rtol=1e-4)
