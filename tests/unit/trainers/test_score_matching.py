"""Score matching, exact and sliced: values, expectations, equality with maximum likelihood, recovery."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.distributions import constraints

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import (
    AbstractEnergy,
    ConditionalGaussian,
    Gamma,
    Gaussian,
    Quartic,
    from_callable,
)
from ebm_ppl.trainers import Batch, Model, ScoreMatching, SlicedScoreMatching, as_batch, newton
from ebm_ppl.validation import estimation, problems
from ebm_ppl.validation.estimation import QUARTIC
from tests.unit.trainers.fixed_draws import FixedDraws

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
LEVEL = 6.0  # standard errors; at most 66 parameters of a fit exceed it by chance in 1.3e-7


def coupled(event_shape):
    """An energy with off-diagonal second derivatives, its gradient and the trace of its Hessian."""
    size = math.prod(event_shape)
    weights = np.linspace(0.5, 2.0, size)

    def energy(x):
        x = jnp.ravel(x)
        return 0.5 * jnp.sum(weights * x**2) + 0.25 * jnp.sum(x**4) + 0.15 * jnp.sum(x) ** 2

    def gradient(x):
        return weights * x + x**3 + 0.3 * x.sum()

    def trace(x):
        return np.sum(weights + 3 * x**2) + 0.3 * size

    return from_callable(energy, event_shape), gradient, trace


@pytest.mark.parametrize("event_shape", [(), (3,), (2, 3), (20,)])
def test_exact_loss_is_half_the_squared_score_less_the_trace(event_shape):
    energy, gradient, trace = coupled(event_shape)
    x = np.random.default_rng(0).normal(size=(4, *event_shape)).astype(np.float32)
    losses = ScoreMatching().losses(Model(energy), as_batch(energy, x), None)
    assert losses.dtype == jnp.float32
    expected = [0.5 * np.sum(gradient(v) ** 2) - trace(v) for v in x.reshape(4, -1)]
    np.testing.assert_allclose(losses, expected, rtol=2e-5)


@pytest.mark.parametrize("event_shape", [(), (3,), (2, 2)])
@pytest.mark.parametrize("variance_reduced", [True, False])
def test_over_all_sign_vectors_the_sliced_losses_average_to_the_exact_one(
    event_shape, variance_reduced
):
    energy, *_ = coupled(event_shape)
    data = as_batch(energy, np.random.default_rng(1).normal(size=(3, *event_shape)))
    size = math.prod(event_shape)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=size)), dtype=np.float32)
    every = jnp.broadcast_to(signs.reshape(1, -1, *event_shape), (3, len(signs), *event_shape))
    sliced = SlicedScoreMatching(len(signs), variance_reduced).losses(Model(energy), data, every)
    exact = ScoreMatching().losses(Model(energy), data, None)
    np.testing.assert_allclose(sliced, exact, rtol=1e-4)


def test_putting_the_mean_of_the_first_term_in_reduces_the_variance():
    """Over all sign vectors, so without chance."""
    energy, *_ = coupled((4,))
    signs = jnp.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    x = jnp.array([0.5, -1.0, 1.5, 2.0])
    data = as_batch(energy, jnp.broadcast_to(x, (len(signs), 4)))
    plain, reduced = (
        jnp.var(SlicedScoreMatching(1, form).losses(Model(energy), data, signs[:, None]))
        for form in (False, True)
    )
    np.testing.assert_allclose(reduced, 0.3**2 * 2 * 4 * 3, rtol=1e-4)  # 2 Σ_{i≠j} H_ij²
    assert plain > 100 * reduced


LAWS = {
    "rademacher": lambda square, trace, diagonal: 2 * (square - diagonal),
    "normal": lambda square, trace, diagonal: 2 * square,
    "sphere": lambda square, trace, diagonal: 1.2 * (square - trace**2 / 3),
}


@pytest.mark.parametrize("law", LAWS)
def test_directions_have_unit_covariance_and_the_variance_that_is_claimed(law):
    """18 z statistics of 100,000 draws at 6: false-alarm rate 4e-8. A scale off by 3% shows at 9."""
    energy = from_callable(jnp.sum, (3,))
    data = as_batch(energy, jnp.zeros((50_000, 3)))
    objective = SlicedScoreMatching(2, directions=law)
    v = np.asarray(objective.prepare(Model(energy), data, None, STEP, KEY).sample)
    v = v.reshape(-1, 3).astype(np.float64)
    if law == "sphere":
        np.testing.assert_allclose(np.sum(v**2, axis=1), 3.0, rtol=1e-5)
    hessian = np.array([[1.0, 0.5, 0.0], [0.5, -2.0, 0.7], [0.0, 0.7, 0.3]])
    products = np.einsum("ni,ij,nj->n", v, hessian, v)
    square, trace, diagonal = np.sum(hessian**2), np.trace(hessian), np.sum(np.diag(hessian) ** 2)
    values = np.column_stack(
        [
            v,
            *(v[:, i] * v[:, j] for i in range(3) for j in range(i + 1)),
            products,
            (products - trace) ** 2,
        ]
    )
    expected = [0, 0, 0, 1, 0, 1, 0, 0, 1, trace, LAWS[law](square, trace, diagonal)]
    errors = np.hypot(values.std(axis=0) / math.sqrt(len(v)), 1e-6)
    z = (values.mean(axis=0) - expected) / errors
    assert np.abs(z).max() < LEVEL


@pytest.mark.parametrize(
    "objective",
    [ScoreMatching(), SlicedScoreMatching(), SlicedScoreMatching(variance_reduced=False)],
    ids=["exact", "reduced", "plain"],
)
def test_population_gradient_on_the_line_is_that_of_theory(objective):
    """Under a mixture, by quadrature; on the line a sign squared is 1, so slices are exact."""
    law = problems.line_law()
    expected = estimation.ScoreMatching(QUARTIC).gradient(problems.LINE_THETA, law)
    with float64():
        energy = problems.PolynomialEnergy(problems.LINE_THETA)
        nodes, mass = jnp.asarray(law.nodes), jnp.asarray(law.mass)
        data = as_batch(energy, nodes)

        def mean_loss(energy):
            sample = objective.prepare(Model(energy), data, None, STEP, KEY).sample
            return mass @ objective.losses(Model(energy), data, sample)

        gradient = np.asarray(jax.jit(jax.grad(mean_loss))(energy).theta)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11)


def fitted(energy, data, objective, num_steps=15, **settings):
    return ebm.fit(
        energy,
        data,
        objective,
        newton(),
        num_steps=num_steps,
        batch_size=len(data),
        rng_key=KEY,
        progress_bar=False,
        **settings,
    )


def normal_sample(dim):
    rng = np.random.default_rng(dim)
    return rng.normal(size=(200, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(size=dim)


def moments_of(energy):
    """Mean and covariance of a normal law in its natural parameters."""
    precision = (np.asarray(energy.precision) + np.asarray(energy.precision).T) / 2
    return np.linalg.solve(precision, energy.shift), np.linalg.inv(precision)


@pytest.mark.parametrize("dim", [1, 2, 10])
def test_normal_score_matching_is_maximum_likelihood(dim):
    x = normal_sample(dim)
    with float64():
        start = problems.PrecisionEnergy(np.eye(dim), np.zeros(dim))
        mean, covariance = moments_of(fitted(start, x, ScoreMatching(), num_steps=4).energy)
    exact = np.cov(x.T, ddof=0).reshape(dim, dim)
    assert np.abs(mean - x.mean(axis=0)).max() < 1e-10
    assert np.abs(covariance - exact).max() < 1e-10 * np.abs(exact).max()


class TraceOverDim(ebm.trainers.AbstractObjective):
    """A planted bug: the trace is divided by the dimension."""

    consistent, is_criterion = False, True

    def losses(self, model, batch, sample):
        exact = ScoreMatching().losses(model, batch, None)
        squares = 0.5 * jnp.sum(jax.vmap(jax.grad(model.energy))(batch.x) ** 2, axis=-1)
        return squares + (exact - squares) / batch.x.shape[-1]


def test_with_the_trace_over_the_dimension_it_would_not_be():
    x = normal_sample(2)
    with float64():
        start = problems.PrecisionEnergy(np.eye(2), np.zeros(2))
        mean, covariance = moments_of(fitted(start, x, TraceOverDim(), num_steps=4).energy)
    np.testing.assert_allclose(mean, x.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(covariance, 2 * np.cov(x.T, ddof=0), rtol=1e-9)


def test_conditional_score_matching_is_least_squares():
    rng = np.random.default_rng(3)
    y = rng.normal(size=(300, 2))
    x = y @ np.array([[1.0, -0.5, 0.0], [0.3, 0.8, 2.0]]) + [1.0, 0.0, -1.0]
    x = x + rng.normal(size=x.shape) @ np.array([[1.0, 0.4, 0.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.8]])
    with float64():
        start = ConditionalGaussian(np.zeros((3, 2)), np.zeros(3), 4.0 * np.eye(3))
        energy = fitted(start, x, ScoreMatching(), num_steps=30, condition=y).energy
        coefficients, intercept = np.asarray(energy.coefficients), np.asarray(energy.intercept)
        whitening = np.tril(energy.whitening)
    design = np.column_stack([y, np.ones(len(y))])
    solution, *_ = np.linalg.lstsq(design, x, rcond=None)
    np.testing.assert_allclose(np.column_stack([coefficients, intercept]), solution.T, atol=1e-10)
    residuals = x - design @ solution
    covariance = residuals.T @ residuals / len(x)
    np.testing.assert_allclose(whitening @ covariance @ whitening.T, np.eye(3), atol=1e-10)


def standardised_errors(fit, truth):
    """Errors of the parameters in standard errors; those that nothing identifies are left out."""
    estimate, exact = ravel_pytree(fit.energy)[0], ravel_pytree(truth)[0]
    errors = ravel_pytree(fit.standard_errors().energy)[0]
    z = np.asarray((estimate - exact) / errors)
    return z[np.isfinite(z)]


SLOWLY = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize("dim", [pytest.param(1, marks=SLOWLY), 2, pytest.param(10, marks=SLOWLY)])
def test_recovers_normal_laws_within_its_standard_errors(dim):
    """With one fixed sign vector an example. At 5000 examples it sees 15% of a standard deviation."""
    covariance = 0.5 ** np.abs(np.subtract.outer(range(dim), range(dim)))
    truth = Gaussian(np.linspace(-1.0, 1.0, dim), covariance)
    x = jax.random.multivariate_normal(KEY, truth.loc, jnp.asarray(covariance), (5000,))
    start = Gaussian(np.zeros(dim), 2.0 * np.eye(dim))
    z = standardised_errors(fitted(start, x, FixedDraws(SlicedScoreMatching())), truth)
    assert len(z) == dim + dim * (dim + 1) // 2
    assert np.abs(z).max() < LEVEL


class ShearedQuartic(AbstractEnergy):
    """Independent quartic coordinates z = S x of one law, seen through a shear S."""

    law: Quartic
    dim: int = eqx.field(static=True)

    @property
    def event_shape(self):
        return (self.dim,)

    @property
    def support(self):
        return constraints.real_vector

    @property
    def shear(self):
        return np.eye(self.dim) + 0.5 * np.eye(self.dim, k=1)

    def _energy(self, x):
        return jnp.sum(jax.vmap(self.law)(jnp.asarray(self.shear, dtype=x.dtype) @ x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "objective"),
    [
        (2, SlicedScoreMatching()),
        *(pytest.param(dim, ScoreMatching(), marks=SLOWLY) for dim in (1, 2, 10)),
        pytest.param(10, SlicedScoreMatching(), marks=SLOWLY),
    ],
)
def test_recovers_quartic_laws_within_its_standard_errors(dim, objective):
    """Two unequal wells that are connected. At 5000 examples of one coordinate it sees 20% of a."""
    law = Quartic(a=-0.5, b=0.2, gamma=-1.0)
    truth = ShearedQuartic(law, dim)
    z = ebm.quadrature.normalize(law).sample(KEY, (5000, dim))
    x = np.linalg.solve(truth.shear, np.asarray(z).T).T
    start = ShearedQuartic(Quartic(a=0.5, b=0.0, gamma=-0.5), dim)
    z = standardised_errors(fitted(start, x, FixedDraws(objective)), truth)
    assert len(z) == 3
    assert np.abs(z).max() < LEVEL


@pytest.mark.parametrize("objective", [ScoreMatching(), SlicedScoreMatching()])
def test_a_support_with_a_boundary_is_refused(objective):
    energy = Gamma(2.0, 1.0)
    data = Batch(jnp.ones(3), None, jnp.arange(3))
    with pytest.raises(ValueError, match="`energy` must have a support without boundary"):
        objective.init(energy, data, KEY)


@pytest.mark.parametrize("event_shape", [(), (3,), (2, 3), (2, 1, 2)])
def test_all_real_arrays_have_no_boundary(event_shape):
    energy = from_callable(jnp.sum, event_shape)
    data = as_batch(energy, jnp.zeros((2, *event_shape)))
    assert ScoreMatching().init(energy, data, KEY) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_projections": 0}, "`num_projections` must be an integer of at least 1; got 0"),
        ({"directions": "axes"}, "`directions` must be one of 'rademacher', .*; got 'axes'"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SlicedScoreMatching(**arguments)
