"""Noise-contrastive estimation: its losses, its population gradient, and its learned log Z."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from flowjax.bijections import AdditiveCondition
from flowjax.distributions import Normal as FlowNormal
from flowjax.distributions import Transformed
from scipy import stats
from scipy.special import expit

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import (
    ConditionalGaussian,
    Gamma,
    Gaussian,
    Quartic,
    from_callable,
    from_conditional_callable,
)
from ebm_ppl.trainers import Batch, Condition, Model, Validation, as_batch, newton
from ebm_ppl.trainers._contrast import Contrast, classification_losses

KEY = jax.random.key(0)
STEP = jnp.asarray(0)
NEWTON = newton()
NORMAL = dist.Normal(0.5, 1.5)
QUARTIC = Quartic(a=-1.0, b=0.3, gamma=-1.5)
SIGMAS = 5.5  # a two-sided normal test at 3.8e-8


def fit(energy, data, objective, num_steps=15, **options):
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


class TestLosses:
    """Of a model that equals the noise, and of one at a distance, in closed form."""

    @pytest.mark.parametrize("num_noise", [1, 4])
    def test_of_noise_against_itself_is_the_entropy_of_the_label(self, num_noise):
        energy = Gaussian([0.5], [[2.25]])
        data = as_batch(energy, jnp.array([[0.0], [1.0], [-3.0]]))
        objective = ebm.NoiseContrastive(dist.Normal(jnp.array([0.5]), 1.5), num_noise)
        model = Model(energy, {"log_z": jnp.asarray(np.log(1.5 * np.sqrt(2 * np.pi)))})
        sample = objective.prepare(model, data, None, STEP, KEY).sample
        expected = np.log1p(num_noise) + num_noise * np.log1p(1 / num_noise)
        np.testing.assert_allclose(objective.losses(model, data, sample), expected, rtol=1e-6)

    def test_are_those_of_logistic_regression(self):
        data = as_batch(QUARTIC, jnp.array([0.2, -1.0]))
        points = jnp.array([[1.0, -2.0, 0.0], [0.5, 3.0, 2.0]])
        objective = ebm.NoiseContrastive(NORMAL, num_noise=3)
        model = Model(QUARTIC, {"log_z": jnp.asarray(1.7)})
        losses = objective.losses(model, data, objective.source.contrast(data, points))
        x = np.concatenate([np.asarray(data.x)[:, None], points], axis=1)
        odds = -QUARTIC_ENERGY(x) - 1.7 - stats.norm.logpdf(x, 0.5, 1.5) - np.log(3.0)
        expected = -np.log(expit(odds[:, 0])) - np.log(expit(-odds[:, 1:])).sum(axis=1)
        np.testing.assert_allclose(losses, expected, rtol=2e-6)

    def test_count_noise_outside_the_support_as_impossible(self):
        energy = Gamma(2.0, 1.0)
        data = as_batch(energy, jnp.array([1.0]))
        objective = ebm.NoiseContrastive(dist.Normal(0.0, 1.0), num_noise=2)
        model = Model(energy, {"log_z": jnp.zeros(())})

        def total(model, points):
            contrast = objective.source.contrast(data, points)
            return objective.losses(model, data, contrast).sum()

        program = eqx.filter_jit(eqx.filter_value_and_grad(total))
        inside, gradient = program(model, jnp.array([[1.0, 2.0]]))
        outside, cut = program(model, jnp.array([[-1.0, 2.0]]))
        term = np.log1p(np.exp(-1.0 - stats.norm.logpdf(1.0) - np.log(2.0)))
        np.testing.assert_allclose(inside - outside, term, rtol=1e-5)
        assert all(np.isfinite(leaf) for leaf in jax.tree.leaves((gradient, cut)))


def QUARTIC_ENERGY(x, a=-1.0, b=0.3, gamma=-1.5):  # noqa: N802
    return a * x**2 + b * x + np.exp(gamma) * x**4


class _NoDensity(ebm.NoiseContrastive):
    consistent = is_criterion = True

    def losses(self, model, batch, sample):
        blind = jax.tree.map(jnp.zeros_like, sample)
        return classification_losses(model, batch, blind._replace(points=sample.points))


class _WrongRatio(ebm.NoiseContrastive):
    consistent = is_criterion = True

    def losses(self, model, batch, sample):
        raised = Contrast(sample.points, sample.log_noise - 0.1, sample.log_noise_of_data - 0.1)
        return classification_losses(model, batch, raised)


class _FrozenLogZ(ebm.NoiseContrastive):
    consistent = is_criterion = True

    def losses(self, model, batch, sample):
        frozen = Model(model.energy, jax.lax.stop_gradient(model.learned))
        return classification_losses(frozen, batch, sample)


class TestPopulationGradient:
    """By the trapezoid rule over data and noise, which converges exponentially; no draw is made.

    The data follow the quartic law, the noise N(0.5, 1.5²). At parameters away from the truth, with
    $u = \\nabla(E + \\log Z)$, the gradient is $E_p[(1-σ(G)) u] − ν E_q[σ(G) u]$.
    """

    NODES = np.linspace(-6.0, 6.0, 641)
    NOISE_NODES = np.linspace(-11.0, 12.0, 641)
    SHIFTED = (-0.8, 0.1, -1.3, 3.0)

    def weights(self):
        mass = np.exp(-QUARTIC_ENERGY(self.NODES))
        noise = stats.norm.pdf(self.NOISE_NODES, 0.5, 1.5)
        log_z = np.log(mass.sum() * (self.NODES[1] - self.NODES[0]))
        return mass / mass.sum(), noise / noise.sum(), log_z

    def gradient(self, objective, a, b, gamma, log_z):
        """The two integrals, one after the other: each holds the other's point fixed."""
        mass, noise, _ = self.weights()
        with float64():
            model = Model(Quartic(a=a, b=b, gamma=gamma), {"log_z": jnp.asarray(log_z)})
            repeats = objective.source.num_noise

            def population(model):
                def losses(x, points):
                    batch = Batch(jnp.asarray(x), None, jnp.arange(len(x)))
                    points = jnp.broadcast_to(jnp.asarray(points)[:, None], (len(x), repeats))
                    sample = objective.source.contrast(batch, points)
                    return objective.losses(model, batch, sample)

                data_side = jnp.dot(mass, losses(self.NODES, 0 * self.NODES))
                noise_side = jnp.dot(noise, losses(0 * self.NOISE_NODES, self.NOISE_NODES))
                return data_side + noise_side - losses(np.zeros(1), np.zeros(1))[0]

            gradient = eqx.filter_jit(eqx.filter_grad(population))(model)
            energy = gradient.energy
            return np.array([energy.a, energy.b, energy.gamma, gradient.learned["log_z"]])

    def expected(self, num_noise, a, b, gamma, log_z):
        mass, noise, _ = self.weights()

        def share(x):
            odds = -QUARTIC_ENERGY(x, a, b, gamma) - log_z - stats.norm.logpdf(x, 0.5, 1.5)
            return expit(odds - np.log(num_noise))

        def slopes(x):
            return np.stack([x**2, x, np.exp(gamma) * x**4, np.ones_like(x)])

        x, y = self.NODES, self.NOISE_NODES
        return slopes(x) @ (mass * (1 - share(x))) - num_noise * slopes(y) @ (noise * share(y))

    @pytest.mark.parametrize("num_noise", [1, 3])
    def test_is_that_of_the_theory_and_vanishes_at_the_truth(self, num_noise):
        objective = ebm.NoiseContrastive(NORMAL, num_noise)
        gradient = self.gradient(objective, *self.SHIFTED)
        np.testing.assert_allclose(gradient, self.expected(num_noise, *self.SHIFTED), rtol=1e-10)
        at_truth = self.gradient(objective, -1.0, 0.3, -1.5, self.weights()[-1])
        np.testing.assert_allclose(at_truth, 0.0, atol=1e-10)

    @pytest.mark.parametrize("mutant", [_NoDensity, _WrongRatio, _FrozenLogZ])
    def test_shows_what_is_wrong(self, mutant):
        gradient = self.gradient(mutant(NORMAL, 3), *self.SHIFTED)
        wrong = np.abs(gradient - self.expected(3, *self.SHIFTED))
        assert wrong.max() > 1e-2


class TestLearnedLogZ:
    def test_alone_is_the_estimate_of_bridge_sampling(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=400), rng.normal(0.5, 1.5, size=(400, 2))
        with float64():
            energy = from_callable(lambda x: x**2 - x + 0.1 * x**4, event_shape=())
            data = as_batch(energy, x)
            source = ebm.NoiseContrastive(NORMAL, num_noise=2).source
            objective = _Given(source.contrast(data, jnp.asarray(y)))
            result = fit(energy, x, objective, num_steps=10)
            learned = float(result.learned["log_z"])

        def ratio(x):
            return np.exp(-(x**2 - x + 0.1 * x**4) - stats.norm.logpdf(x, 0.5, 1.5))

        z, share = 1.0, 1 / 3
        for _ in range(200):  # Meng and Wong's iteration
            of_noise = np.mean(ratio(y) / (share * ratio(y) + (1 - share) * z))
            z = of_noise / np.mean(1 / (share * ratio(x) + (1 - share) * z))
        assert abs(learned - np.log(z)) < 1e-10

    @pytest.mark.slow
    def test_and_parameters_are_within_standard_errors_of_the_truth(self):
        density = ebm.quadrature.normalize(QUARTIC)
        x = ebm.EnergyDistribution(QUARTIC, log_z=density).sample(jax.random.key(1), (4000,))
        truth = [-1.0, 0.3, -1.5, density.log_z]
        objective = ebm.NoiseContrastive(NORMAL, num_noise=5, fresh_noise=False)
        result = fit(Quartic(a=0.0, b=0.0, gamma=-1.0), x, objective)
        assert np.abs(_z_scores(result, truth)).max() < SIGMAS
        fitted = ebm.EnergyDistribution(result.energy, log_z=result.learned["log_z"])
        mass = ebm.quadrature.normalize(result.energy).log_z - float(fitted.log_normalizer())
        assert abs(mass) < 0.05  # the fitted density integrates to one, nearly

    @pytest.mark.slow
    def test_may_be_a_function_of_the_condition(self):
        rng = np.random.default_rng(2)
        y = rng.uniform(-1.0, 1.0, size=4000)
        x = rng.normal(size=4000) * np.exp(-0.5 * y)
        energy = from_conditional_callable(_Precision(jnp.zeros(())), (), ())
        noise = ebm.NoiseContrastive(
            lambda y: dist.Normal(0.1 * y, 1.2),
            num_noise=3,
            log_z=_Line(jnp.zeros(()), jnp.zeros(())),
            fresh_noise=False,
        )
        result = fit(energy, x, noise, condition=y)
        truth = [1.0, 0.5 * np.log(2 * np.pi), -0.5]
        assert np.abs(_z_scores(result, truth)).max() < SIGMAS


class _Given(ebm.NoiseContrastive):
    """With noise of one's own choice."""

    consistent = is_criterion = True
    contrast: Contrast

    def __init__(self, contrast):
        super().__init__(NORMAL, num_noise=contrast.points.shape[1])
        self.contrast = contrast

    def init(self, energy, data, rng_key):
        return {"log_z": jnp.zeros(())}, self.contrast


class _Precision(eqx.Module):
    rate: jax.Array

    def __call__(self, x, y):
        return 0.5 * jnp.exp(self.rate * y) * x**2


class _Line(eqx.Module):
    intercept: jax.Array
    slope: jax.Array

    def __call__(self, y):
        return self.intercept + self.slope * y


def _z_scores(result, truth):
    errors = result.standard_errors()
    pairs = zip(
        jax.tree.leaves((result.energy, result.learned)),
        jax.tree.leaves((errors.energy, errors.learned)),
        truth,
        strict=True,
    )
    return np.array([(value - true) / error for value, error, true in pairs], np.float64)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 10])
def test_recovers_a_gaussian_precision(dim):
    rng = np.random.default_rng(dim)
    factor = np.tril(rng.normal(size=(dim, dim)) / dim, -1) + np.diag(rng.uniform(0.7, 1.3, dim))
    loc = rng.normal(size=dim)
    x = loc + np.linalg.solve(factor, rng.normal(size=(dim, 2000))).T
    covariance = np.linalg.inv(factor.T @ factor)
    noise = dist.MultivariateNormal(jnp.asarray(loc + 0.2), 1.3 * covariance)
    objective = ebm.NoiseContrastive(noise, num_noise=2, fresh_noise=False)
    # from the truth, which is no help: the fit ends at the minimum, as a small last gradient shows
    result = fit(Gaussian(loc, covariance), x, objective, num_steps=8)
    assert result.history["gradient_norm"][-1] < 1e-4
    errors = result.standard_errors()
    lower = np.tril_indices(dim)
    log_z = 0.5 * dim * np.log(2 * np.pi) - np.log(np.diag(factor)).sum()
    z_scores = np.concatenate(
        [
            (result.energy.loc - loc) / errors.energy.loc,
            ((result.energy.whitening - factor) / errors.energy.whitening)[lower],
            [(result.learned["log_z"] - log_z) / errors.learned["log_z"]],
        ]
    )
    assert np.abs(z_scores).max() < SIGMAS
    assert np.isnan(np.asarray(errors.energy.whitening)[np.triu_indices(dim, 1)]).all()


class TestNoise:
    DATA = as_batch(Gaussian([0.0], [[1.0]]), jnp.linspace(-1.0, 1.0, 6)[:, None])
    ENERGY = Gaussian([0.0], [[1.0]])

    @pytest.mark.parametrize(
        "noise",
        [
            dist.Normal(jnp.array([0.5]), 1.5),
            dist.MultivariateNormal(jnp.array([0.5]), jnp.array([[2.25]])),
            FlowNormal(jnp.array([0.5]), 1.5),
            ebm.EnergyDistribution(
                Gaussian([0.5], [[2.25]]), log_z=float(np.log(1.5 * np.sqrt(2 * np.pi)))
            ),
        ],
        ids=["batch axes", "vector", "flowjax", "energy"],
    )
    def test_may_be_any_distribution(self, noise):
        objective = ebm.NoiseContrastive(noise, num_noise=500)
        learned, carried = objective.init(self.ENERGY, self.DATA, KEY)
        model = Model(self.ENERGY, learned)
        prepared = eqx.filter_jit(objective.prepare)(model, self.DATA, carried, STEP, KEY)
        points, log_noise, log_noise_of_data = prepared.sample
        assert points.shape == (6, 500, 1)
        law = stats.norm(0.5, 1.5)
        np.testing.assert_allclose(log_noise, law.logpdf(points[..., 0]), rtol=1e-4)
        np.testing.assert_allclose(log_noise_of_data, law.logpdf(self.DATA.x[:, 0]), rtol=1e-4)
        assert stats.kstest(np.ravel(points), law.cdf).pvalue > 1e-8
        gap = np.mean(np.square(points)) / 2 - np.mean(np.square(self.DATA.x)) / 2
        np.testing.assert_allclose(prepared.metrics["energy_gap"], gap, rtol=1e-4)

    @pytest.mark.parametrize(
        "noise",
        [
            lambda y: dist.Normal(3.0 * y, 0.01),
            Transformed(
                FlowNormal(jnp.zeros(1), 0.01), AdditiveCondition(lambda y: 3.0 * y, (1,), (1,))
            ),
        ],
        ids=["numpyro", "flowjax"],
    )
    def test_may_depend_on_the_condition(self, noise):
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
        y = jnp.linspace(-1.0, 1.0, 6)[:, None]
        data = as_batch(energy, 3.0 * y, y)
        source = ebm.NoiseContrastive(noise, num_noise=3).source
        assert source.init(energy, data, KEY) is None
        points = source.draw(data, None, KEY).points
        np.testing.assert_allclose(points, np.broadcast_to(3.0 * y[:, None], (6, 3, 1)), atol=0.08)

    def test_of_discrete_laws_becomes_floating_point(self):
        energy = from_callable(lambda x: -x.sum(), (2,), dist.constraints.boolean)
        data = as_batch(energy, jnp.array([[0.0, 1.0]]))
        source = ebm.NoiseContrastive(dist.Bernoulli(0.5).expand((2,))).source
        source.init(energy, data, KEY)
        contrast = source.draw(data, None, KEY)
        assert jnp.issubdtype(contrast.points.dtype, jnp.floating)
        np.testing.assert_allclose(contrast.log_noise, 2 * np.log(0.5), rtol=1e-6)

    def test_that_stays_belongs_to_the_row(self):
        objective = ebm.NoiseContrastive(dist.Normal(jnp.zeros(1), 1.0), 2, fresh_noise=False)
        learned, carried = objective.init(self.ENERGY, self.DATA, KEY)
        model = Model(self.ENERGY, learned)
        rows = jnp.array([4, 1])
        some = Batch(self.DATA.x[rows], None, rows)
        first = objective.prepare(model, some, carried, STEP, jax.random.key(1))
        again = objective.prepare(model, self.DATA, carried, STEP, jax.random.key(2))
        np.testing.assert_array_equal(first.sample.points, again.sample.points[rows])
        np.testing.assert_array_equal(first.sample.log_noise, again.sample.log_noise[rows])
        assert again.carried is carried
        fresh = ebm.NoiseContrastive(dist.Normal(jnp.zeros(1), 1.0), 2)
        draws = [fresh.source.draw(self.DATA, None, jax.random.key(i)).points for i in (1, 2)]
        assert not np.any(draws[0] == draws[1])

    def test_that_stays_is_drawn_for_held_out_examples_too(self):
        objective = ebm.NoiseContrastive(lambda y: dist.Normal(y, 0.1), fresh_noise=False)
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
        y = jnp.linspace(-1.0, 1.0, 8)[:, None]
        result = ebm.fit(
            energy,
            y[:3],
            objective,
            optax.set_to_zero(),
            condition=y[:3],
            validation=Validation(data=y, condition=y, every=1),
            num_steps=2,
            rng_key=KEY,
            progress_bar=False,
        )
        first, second = result.history["validation"]
        assert first == second
        assert np.isfinite(first)
        held_out = objective.for_held_out(as_batch(energy, y, y), result.state.carried, KEY)
        np.testing.assert_allclose(held_out.points[:, 0], y, atol=0.6)

    def test_without_condition_serves_conditions_that_are_dropped(self):
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]], null_condition=[0.5])
        y = jnp.linspace(-1.0, 1.0, 6)[:, None]
        rows, source = jnp.arange(6), ebm.NoiseContrastive(dist.Normal(jnp.zeros(1), 2.0)).source
        kept = rows % 2 == 0
        dropped = Batch(y, Condition(y, kept=kept), rows)
        contrast = source.draw(dropped, None, KEY)
        learned = Model(energy, {"log_z": lambda y: y[0]})
        losses = classification_losses(learned, dropped, contrast)
        in_full = classification_losses(learned, Batch(y, Condition(y), rows), contrast)
        null = Model(Gaussian([0.5], [[1.0]]), {"log_z": jnp.asarray(0.5)})
        without = classification_losses(null, Batch(y, None, rows), contrast)
        np.testing.assert_allclose(losses, np.where(kept, in_full, without), rtol=1e-6)

    @pytest.mark.parametrize(
        ("noise", "message"),
        [
            (3.0, "`noise` must be a NumPyro or FlowJAX distribution"),
            (ebm.EnergyDistribution(ENERGY), "`noise` must be normalised"),
            (
                ebm.EnergyDistribution(Gaussian(np.zeros(3), np.eye(3)), 1.0),
                "must have exact draws",
            ),
        ],
    )
    def test_refuses_what_is_no_noise(self, noise, message):
        with pytest.raises(ValueError, match=message):
            ebm.NoiseContrastive(noise)

    @pytest.mark.parametrize(
        ("objective", "message"),
        [
            (
                ebm.NoiseContrastive(dist.Uniform(-0.5, 0.5).expand((1,))),
                r"`noise` must have a positive.*-inf at array\(\[-1.\].*in row 0",
            ),
            (ebm.NoiseContrastive(dist.Normal(0.0, 1.0)), r"`noise \(draws\)` of shape \(1,\)"),
            (
                ebm.NoiseContrastive(lambda y: dist.Normal(y, 1.0)),
                "`noise` must be a distribution for an energy without a condition",
            ),
            (
                ebm.NoiseContrastive(dist.Normal(jnp.zeros(1), 1.0), log_z=lambda y: y),
                "`log_z` must be a number for an energy without a condition",
            ),
            (
                ebm.NoiseContrastive(dist.Normal(jnp.zeros(1), 1.0), log_z=jnp.inf),
                "`log_z` must be finite",
            ),
        ],
        ids=["no density at data", "shape", "conditional", "conditional log Z", "infinite log Z"],
    )
    def test_refuses_what_does_not_fit(self, objective, message):
        with pytest.raises(ValueError, match=message):
            objective.init(self.ENERGY, self.DATA, KEY)

    def test_refuses_conditional_noise_where_conditions_are_dropped(self):
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]], null_condition=[0.0])
        y = jnp.ones((4, 1))
        with pytest.raises(ValueError, match="`noise` must not depend on the condition"):
            ebm.fit(
                energy,
                y,
                ebm.NoiseContrastive(lambda y: dist.Normal(y, 1.0)),
                optax.sgd(0.1),
                condition=y,
                condition_dropout=0.5,
                num_steps=1,
                rng_key=KEY,
                progress_bar=False,
            )
