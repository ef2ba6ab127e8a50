"""Classes and real quantities, predicted by energies whose laws are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import (
    AbstractConditionalEnergy,
    ConditionalGaussian,
    NeuralNoiseConditionalEnergy,
    from_conditional_callable,
)
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.tasks import predict, regress

KEY = jax.random.key(0)
SCALES = np.array([0.5, 1.0, 3.0])
X = np.linspace(-4.0, 4.0, 9)[:, None]
CLASSES = np.eye(3)


def spring(x, y):
    """Normal laws about 0, 1 and 2 of these scales, unnormalised."""
    mean, scale = y @ jnp.arange(3.0), y @ jnp.asarray(SCALES)
    return 0.5 * jnp.sum(((x - mean) / scale) ** 2)


ENERGY = from_conditional_callable(spring, (1,), (3,), constraints.real_vector)
LOG_Z = np.log(np.sqrt(2 * np.pi) * SCALES)


def known(log_prior):
    log_p = stats.norm(np.arange(3.0), SCALES).logpdf(X) + log_prior
    return log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True)


@pytest.mark.parametrize(
    "log_z",
    [LOG_Z, QuadratureNormalizer((-30.0, 30.0), num_intervals=256)],
    ids=["array", "callable"],
)
@pytest.mark.parametrize("log_prior", [None, np.log([0.2, 0.3, 0.5])])
def test_probabilities_of_classes_are_those_of_bayes(log_z, log_prior):
    found = predict(ENERGY, X, CLASSES, log_z=log_z, log_prior=log_prior)
    expected = known(0.0 if log_prior is None else log_prior)
    np.testing.assert_allclose(found.log_probs, expected, atol=2e-4)
    np.testing.assert_array_equal(found.labels, expected.argmax(axis=1))
    np.testing.assert_allclose(found.confidence, np.exp(expected.max(axis=1)), rtol=1e-3)


class Joint(AbstractConditionalEnergy):
    """Minus a classifier's logits, E(x, y) = −f_y(x)."""

    weights: jax.Array
    event_shape = (1,)
    condition_shape = (3,)
    support = constraints.real_vector
    noise_conditional = False
    null_condition = None

    def _energy(self, x, y, sigma):
        return -y @ (self.weights * x[0])


def test_a_joint_energy_predicts_what_its_logits_do():
    weights = jnp.array([1.0, 0.0, -2.0])
    found = predict(Joint(weights), X, CLASSES, log_z=0.0)
    np.testing.assert_allclose(found.probs, jax.nn.softmax(X * weights, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"log_z": None}, "`log_z` must be given, as Z"),
        ({"log_z": LOG_Z[:2]}, r"`log_z` of shape \(\) or \(3,\); got \(2,\)"),
        ({"log_z": LOG_Z * np.nan}, "`log_z` must be finite"),
        ({"log_prior": [0.0]}, "`log_prior` of shape"),
        ({"log_prior": [0.0, np.nan, 0.0]}, "`log_prior` must be finite"),
        ({"classes": CLASSES[:1]}, "`classes` must hold at least 2"),
        ({"classes": CLASSES[:, :2]}, r"`classes` of shape \(num, 3\)"),
        ({"x": X[0]}, r"`x` of shape \(num, 1\)"),
        ({"sigma": 1.0}, "`sigma` must be None"),
    ],
)
def test_what_cannot_be_predicted_is_refused(settings, message):
    arguments = {"x": X, "classes": CLASSES, "log_z": LOG_Z} | settings
    with pytest.raises(ValueError, match=message):
        predict(ENERGY, **arguments)


def test_points_outside_the_support_have_no_class():
    energy = from_conditional_callable(lambda x, y: x * y[0], (), (1,), constraints.positive)
    with pytest.raises(ValueError, match=r"1 of 2 do not, first `x\[1\]`"):
        predict(energy, [1.0, -1.0], [[1.0], [2.0]], log_z=[0.0, -np.log(2.0)])


@pytest.mark.usefixtures("light_compilation")
def test_regression_by_a_normal_law():
    """Six standard errors for each number."""
    energy = ConditionalGaussian([[2.0], [-1.0]], [0.0, 1.0], [[1.0, 0.6], [0.6, 2.0]])
    y = np.array([[0.0], [1.5], [-2.0]])
    found = regress(energy, y, rng_key=KEY, num_warmup=300, num_samples=300)
    mean, scale = y @ [[2.0, -1.0]] + [0.0, 1.0], np.sqrt([1.0, 2.0])
    error = 6 * scale.max() / np.sqrt(found.smallest_ess)
    assert error < 0.2
    np.testing.assert_allclose(found.mode, mean, atol=1e-3)
    np.testing.assert_allclose(found.mean, mean, atol=error)
    np.testing.assert_allclose(found.standard_deviation, np.tile(scale, (3, 1)), atol=error)
    np.testing.assert_allclose(found.upper, mean + 1.645 * scale, atol=2.2 * error)
    np.testing.assert_allclose(found.lower, mean - 1.645 * scale, atol=2.2 * error)
    # Twice the energy is chi-squared with two degrees of freedom.
    np.testing.assert_allclose(found.region_energy, -np.log(0.1), atol=6 * 3 / np.sqrt(500))
    assert found.worst_r_hat < 1.01


@pytest.mark.usefixtures("light_compilation")
@pytest.mark.filterwarnings(
    "ignore::ebm_ppl.partition.SlowMixingWarning"
)  # weights are not asked for
def test_the_mode_is_that_of_the_deeper_well_and_the_region_has_two_pieces():
    def wells(x, y):
        logits = jnp.stack([-((x - y) ** 2) / 0.5, jnp.log(0.6) - ((x + y) ** 2) / 0.5])
        return -jax.nn.logsumexp(logits)

    energy = from_conditional_callable(wells, (), (), constraints.real)
    found = regress(energy, [1.0, 1.2], rng_key=KEY, num_samples=500, num_warmup=300)
    np.testing.assert_allclose(found.mode, [1.0, 1.2], atol=0.01)
    assert float(energy(0.0, 1.0)) > float(found.region_energy[0])  # a gap between the wells
    assert float(energy(-1.0, 1.0)) < float(found.region_energy[0])


def test_states_are_no_regression():
    energy = from_conditional_callable(lambda x, y: x * y, (), (), constraints.boolean)
    with pytest.raises(ValueError, match="got one of states, see `predict`"):
        regress(energy, [1.0], rng_key=KEY)
    with pytest.raises(ValueError, match=r"`conditions` of shape \(num, 3\)"):
        regress(ENERGY, [1.0], rng_key=KEY)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-1.0, "`sigma` must be a finite number above 0; got -1.0"),
        (None, "`sigma` must be a positive number"),
    ],
)
def test_a_level_that_is_none_is_refused_before_anything_is_computed(sigma, message):
    energy = NeuralNoiseConditionalEnergy((1,), (3,), rng_key=KEY, width=2, depth=1)
    with pytest.raises(ValueError, match=message):
        predict(energy, X, CLASSES, log_z=0.0, sigma=sigma)
    with pytest.raises(ValueError, match=message):
        regress(energy, CLASSES, rng_key=KEY, sigma=sigma)
