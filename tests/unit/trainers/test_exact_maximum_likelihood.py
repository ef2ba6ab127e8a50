"""Exact maximum likelihood: sample moments, closed forms, and sums over states."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.distributions import constraints
from scipy.special import logsumexp

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import (
    ConditionalGaussian,
    Gaussian,
    Quartic,
    from_callable,
    from_conditional_callable,
)
from ebm_ppl.partition import EnumerationNormalizer
from ebm_ppl.trainers import Model, as_batch, newton

KEY = jax.random.key(0)
NEWTON = newton()
RNG = np.random.default_rng(0)
TOY = np.where(RNG.random(5000) < 0.5, -2.0, 2.0) + 0.5 * RNG.normal(size=5000)


def fit(energy, data, objective, num_steps=20, **options):
    return ebm.fit(
        energy,
        data,
        objective,
        NEWTON,
        num_steps=num_steps,
        batch_size=len(data),
        rng_key=KEY,
        progress_bar=False,
        **options,
    )


def gaussian_log_z(energy):
    half = 0.5 * energy.event_size * jnp.log(2 * jnp.pi)
    return half - jnp.sum(jnp.log(jnp.abs(jnp.diag(energy.whitening))))


@pytest.mark.parametrize("dim", [2, 10])
def test_a_gaussian_takes_the_sample_mean_and_covariance(dim):
    x = RNG.normal(size=(300, dim)) @ RNG.normal(size=(dim, dim)) + RNG.normal(size=dim)
    with float64():
        objective = ebm.ExactMaximumLikelihood(gaussian_log_z)
        energy = Gaussian(np.zeros(dim), np.eye(dim) * x.var())
        result = fit(energy, x, objective, num_steps=40)
        factor = np.tril(result.energy.whitening)
    np.testing.assert_allclose(result.energy.loc, x.mean(axis=0), rtol=1e-8, atol=1e-10)
    covariance = np.cov(x.T, bias=True).reshape(dim, dim)
    np.testing.assert_allclose(factor @ covariance @ factor.T, np.eye(dim), atol=1e-8)


def test_the_loss_is_the_negative_log_likelihood():
    energy = Gaussian([0.5], [[2.25]])
    data = as_batch(energy, jnp.array([[0.0], [1.0], [-3.0]]))
    objective = ebm.ExactMaximumLikelihood(ebm.QuadratureNormalizer(bounds=(-15.0, 16.0)))
    losses = eqx.filter_jit(objective.losses)(Model(energy), data, None)
    expected = 0.5 * np.square((data.x[:, 0] - 0.5) / 1.5) + np.log(1.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_quartic_is_within_1e_8_nats_of_the_optimum_and_compiles_once():
    start = Quartic(a=0.05, b=0.0, gamma=-0.5)
    fitting = ebm.ExactMaximumLikelihood.for_energy(Quartic(a=-1.0, b=0.0, gamma=-2.0))
    traced = []

    def normalizer(energy):
        traced.append(energy)
        return fitting.normalizer(energy)

    objective = ebm.ExactMaximumLikelihood(normalizer)
    result = fit(start, TOY, objective)
    once = len(traced)
    again = fit(start, TOY, objective)
    assert len(traced) == once
    np.testing.assert_array_equal(result.energy.a, again.energy.a)

    # To second order the excess is gᵀ H⁻¹ g / 2, from the gradient g and the Hessian H of the mean
    # loss in double precision, by the trapezoid rule.
    nodes = np.linspace(-8.0, 8.0, 4001)
    a, b, gamma = (np.float64(leaf) for leaf in jax.tree.leaves(result.energy))

    def statistics(x):
        return np.stack([x**2, x, np.exp(gamma) * x**4])

    log_mass = -np.array([a, b, 1.0]) @ statistics(nodes)
    mass = np.exp(log_mass - logsumexp(log_mass))
    gradient = statistics(TOY).mean(axis=1) - statistics(nodes) @ mass
    hessian = np.cov(statistics(nodes), aweights=mass)
    assert 0.5 * gradient @ np.linalg.solve(hessian, gradient) < 1e-8


def test_conditions_have_a_log_z_each():
    energy = from_conditional_callable(_Rate(jnp.asarray(0.2)), (), (), constraints.positive)
    y = jnp.array([-4.0, 4.0])  # rates 0.45 and 2.2
    x = jnp.array([3.0, 0.2])
    data = as_batch(energy, x, y)
    objective = ebm.ExactMaximumLikelihood.for_energy(energy, condition=y)
    losses = eqx.filter_jit(objective.losses)(Model(energy), data, None)
    rate = np.exp(0.2 * np.asarray(y))
    np.testing.assert_allclose(losses, rate * x - np.log(rate), rtol=1e-5)


class _Rate(eqx.Module):
    slope: jax.Array

    def __call__(self, x, y):
        return jnp.exp(self.slope * y) * x


def test_discrete_energies_match_the_moments_of_the_data():
    couplings = jnp.array([[0.0, 0.5, -0.3], [0.0, 0.0, 0.8], [0.0, 0.0, 0.0]])
    energy = from_callable(_Ising(couplings), (3,), constraints.boolean)
    x = (RNG.random((200, 3)) < 0.6).astype(float)
    objective = ebm.ExactMaximumLikelihood.for_energy(energy, block_size=4)
    assert isinstance(objective.normalizer, EnumerationNormalizer)
    result = fit(energy, x, objective)
    states = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
    weights = np.triu(np.asarray(result.energy.fn.couplings, np.float64))
    log_mass = np.einsum("ni,ij,nj->n", states, weights, states)
    mass = np.exp(log_mass - logsumexp(log_mass))
    model = np.einsum("n,ni,nj->ij", mass, states, states)
    np.testing.assert_allclose(model, x.T @ x / len(x), atol=2e-6)


class _Ising(eqx.Module):
    couplings: jax.Array

    def __call__(self, x):
        return -x @ jnp.triu(self.couplings) @ x


def test_a_grid_that_no_longer_holds_the_mass_stops_the_fit():
    objective = ebm.ExactMaximumLikelihood.for_energy(Quartic(a=1.0, b=0.0, gamma=0.0))
    with pytest.raises(ebm.TrainingDivergedError, match="`loss` was the first thing not finite"):
        fit(Quartic(a=0.0, b=0.0, gamma=-9.0), TOY[:100], objective)


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (ConditionalGaussian([[1.0]], [0.0], [[1.0]]), "`condition` must be given"),
        (Gaussian(np.zeros(4), np.eye(4)), "coordinates"),
    ],
)
def test_refuses_what_has_no_normaliser(energy, message):
    with pytest.raises(ValueError, match=message):
        ebm.ExactMaximumLikelihood.for_energy(energy)


def test_refuses_a_normaliser_that_is_no_function():
    with pytest.raises(ValueError, match="`normalizer` must be a callable"):
        ebm.ExactMaximumLikelihood(1.0)


class TestGridThatMoves:
    GRID = ebm.QuadratureNormalizer((-8.0, 8.0), num_intervals=64, edge_tolerance=1.0)

    def _fit(self, scale, num_steps, normalizer=GRID):
        data = scale * RNG.normal(size=(500, 1))
        return ebm.fit(
            Gaussian([0.0], [[1.0]]),
            data,
            ebm.ExactMaximumLikelihood(normalizer),
            optax.adam(0.05),
            num_steps=num_steps,
            batch_size=500,
            rng_key=KEY,
            progress_bar=False,
        )

    def test_a_law_narrower_than_the_grid_stops_the_fit(self):
        """On nodes a quarter apart, a standard deviation of 0.03 has an infinity of fits."""
        with pytest.raises(
            ebm.TrainingDivergedError, match=r"ExactMaximumLikelihood stopped .*nats apart.*num_int"
        ):
            self._fit(0.03, 2000)

    def test_a_law_that_the_grid_resolves_is_fitted_with_a_gap_of_rounding(self):
        result = self._fit(0.5, 300)
        gaps = result.history["log_z_gap"]
        assert len(gaps) == 300
        assert gaps.max() < 1e-4

    def test_what_is_no_grid_has_none(self):
        result = self._fit(0.5, 3, gaussian_log_z)
        assert "log_z_gap" not in result.history

    def test_each_step_has_another_grid_and_all_of_them_the_integral(self):
        """A spike between the nodes of the grid as it stands: over uniform shifts its mass counts."""
        energy = Gaussian([0.125], [[0.02**2]])
        model = Model(energy)
        objective = ebm.ExactMaximumLikelihood(self.GRID)
        data = as_batch(energy, [[0.125], [0.1]])
        keys = jax.random.split(KEY, 2000)

        def one(key):
            return objective.prepare(model, data, None, jnp.asarray(1), key).sample

        shifts = jax.vmap(one)(keys)
        assert len(np.unique(np.asarray(shifts))) > 1900
        z = np.asarray(jax.vmap(lambda shift: jnp.exp(self.GRID(energy, shift)))(shifts))
        truth = 0.02 * np.sqrt(2 * np.pi)
        error = z.std() / np.sqrt(len(z))
        assert abs(z.mean() - truth) < 5 * error < 0.25 * truth  # false once in 2e6 seeds
        assert self.GRID(energy) < np.log(truth) - 10.0


class TestGridOfAFamily:
    BOTH = from_conditional_callable(
        lambda x, y, sigma: 0.5 * (x - y) ** 2 / sigma**2, (), (), noise_conditional=True
    )

    def test_it_spans_what_the_energy_spans_at_any_condition_and_level(self):
        conditions, levels = [0.0, 10.0], [3.0, 0.5]
        (bounds,) = ebm.ExactMaximumLikelihood.for_energy(
            self.BOTH, conditions, levels
        ).normalizer.bounds
        grids = [
            ebm.ExactMaximumLikelihood.for_energy(self.BOTH.at(y=y, sigma=sigma)).normalizer
            for y, sigma in zip(conditions, levels, strict=True)
        ]
        own = np.array([grid.bounds[0] for grid in grids])
        np.testing.assert_allclose(bounds, [own[:, 0].min(), own[:, 1].max()])

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, r"`condition` must be given for .*, an energy E_sigma\(x \| y\); got None"),
            ({"condition": [0.0]}, r"`sigma` must be given for .*, an energy E_sigma\(x \| y\)"),
            (
                {"condition": [0.0, 1.0], "sigma": [1.0]},
                "`condition` and `sigma` must have as many rows; got",
            ),
        ],
    )
    def test_conditions_and_levels_are_both_asked_for(self, given, message):
        with pytest.raises(ValueError, match=message):
            ebm.ExactMaximumLikelihood.for_energy(self.BOTH, **given)

    @pytest.mark.parametrize("name", ["condition", "sigma"])
    def test_what_the_energy_does_not_depend_on_is_refused(self, name):
        with pytest.raises(
            ValueError, match=rf"`{name}` must be None for Quartic, an energy E\(x\)"
        ):
            ebm.ExactMaximumLikelihood.for_energy(Quartic(), **{name: [1.0]})
