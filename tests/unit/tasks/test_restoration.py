"""Restoration on laws whose posterior is known in closed form."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl import MALA
from ebm_ppl.energies import Gaussian, GaussianMixture, from_callable
from ebm_ppl.partition import SlowMixingWarning
from ebm_ppl.tasks import restoration_model, restore

KEY = jax.random.key(0)
ROOT = np.random.default_rng(0).normal(size=(4, 4))
COVARIANCE = ROOT @ ROOT.T / 4 + 0.2 * np.eye(4)
MEAN = np.array([1.0, -1.0, 0.5, 2.0])
NORMAL = Gaussian(MEAN, COVARIANCE)
OBSERVED = np.random.default_rng(1).normal(size=(3, 4))
MASK = np.array([True, False, False, True])
BLUR = np.array([[0.6, 0.4, 0.0, 0.0], [0.0, 0.3, 0.4, 0.3]])


def images(energy):
    """An energy on vectors of four as one on images of 2 x 2."""
    return from_callable(
        lambda x: energy(x.ravel()), (2, 2), constraints.independent(constraints.real, 2)
    )


def posterior(matrix, observed, variances):
    """Mean and covariance of N(MEAN, COVARIANCE) given `matrix @ x` in noise."""
    gain = (
        COVARIANCE @ matrix.T @ np.linalg.inv(matrix @ COVARIANCE @ matrix.T + np.diag(variances))
    )
    return MEAN + (observed - MEAN @ matrix.T) @ gain.T, COVARIANCE - gain @ matrix @ COVARIANCE


PROBLEMS = {
    "inpainting": (
        images(NORMAL),
        {"mask": MASK.reshape(2, 2)},
        np.where(MASK, OBSERVED, np.nan).reshape(3, 2, 2),
        posterior(np.eye(4)[MASK], OBSERVED[:, MASK], np.zeros(2)),
    ),
    "denoising": (
        NORMAL,
        {"noise": [0.3, 0.5, 0.7, 0.9]},
        OBSERVED,
        posterior(np.eye(4), OBSERVED, np.array([0.3, 0.5, 0.7, 0.9]) ** 2),
    ),
    "deblurring": (
        images(NORMAL),
        {"noise": 0.4, "operator": BLUR},
        OBSERVED[:, :2],
        posterior(BLUR, OBSERVED[:, :2], np.full(2, 0.16)),
    ),
    "a function, a mask and noise": (
        NORMAL,
        {"noise": 0.4, "operator": lambda x: jnp.cumsum(x), "mask": MASK},
        np.where(MASK, OBSERVED, np.nan),
        posterior(np.tril(np.ones((4, 4)))[MASK], OBSERVED[:, MASK], np.full(2, 0.16)),
    ),
}


@pytest.mark.usefixtures("light_compilation")
@pytest.mark.parametrize("name", PROBLEMS)
def test_normal_posteriors_are_met(name):
    """Means and covariances, all within six standard errors: 78 numbers, a millionth in all."""
    energy, settings, observed, (mean, covariance) = PROBLEMS[name]
    found = restore(energy, observed, rng_key=KEY, num_warmup=300, num_samples=300, **settings)
    draws = np.asarray(found.draws, np.float64).reshape(3, -1, 4)
    known = np.diag(covariance) < 1e-12
    scale = np.sqrt(np.where(known, 0.0, np.diag(covariance)))
    size = found.smallest_ess
    error = 6 * scale / np.sqrt(size)
    assert np.all(np.abs(draws.mean(axis=1) - mean) < error + 1e-5)
    centred = draws - mean[:, None]
    second = np.einsum("nki,nkj->nij", centred, centred) / draws.shape[1]
    bound = 6 * np.sqrt((np.outer(scale, scale) ** 2 + covariance**2) / size) + 1e-5
    assert np.all(np.abs(second - covariance) < bound)
    assert found.worst_r_hat < 1.01
    assert size > 500
    flat = np.asarray(found.lower).reshape(3, 4), np.asarray(found.upper).reshape(3, 4)
    reach = stats.norm.ppf(0.95) * scale  # an end has twice the error of a mean
    np.testing.assert_allclose(flat[0], mean - reach, atol=2.2 * error.max() + 1e-5)
    np.testing.assert_allclose(flat[1], mean + reach, atol=2.2 * error.max() + 1e-5)
    np.testing.assert_allclose(np.asarray(found.mean).reshape(3, 4), draws.mean(axis=1), atol=1e-5)
    spread = np.asarray(found.standard_deviation).reshape(3, 4)
    np.testing.assert_allclose(spread, draws.std(axis=1), atol=1e-5)
    if known.any():
        np.testing.assert_array_equal(np.isnan(found.r_hat).reshape(3, 4), np.tile(MASK, (3, 1)))


@pytest.mark.usefixtures("light_compilation")
def test_both_modes_of_a_posterior_are_found_with_their_weights():
    """A mixture, its first coordinate given: weights of components are known; six standard errors."""
    locs, weights = np.array([[0.0, -1.0], [0.5, 1.0]]), np.array([0.4, 0.6])
    energy = GaussianMixture(weights, locs, np.tile(0.36 * np.eye(2), (2, 1, 1)))
    found = restore(
        energy,
        [[0.2, np.nan]],
        mask=[True, False],
        rng_key=KEY,
        num_samples=1000,
        num_warmup=300,
    )
    likelihood = weights * stats.norm(locs[:, 0], 0.6).pdf(0.2)
    share = likelihood[1] / likelihood.sum()
    upper = share * stats.norm.cdf(1 / 0.6) + (1 - share) * stats.norm.cdf(-1 / 0.6)
    error = 6 * np.sqrt(upper * (1 - upper) / found.smallest_ess)
    assert error < 0.1
    assert np.mean(found.draws[..., 1] > 0) == pytest.approx(upper, abs=error)


@pytest.mark.usefixtures("light_compilation")
def test_chains_that_stay_in_their_modes_are_warned_of():
    energy = GaussianMixture([0.5, 0.5], [[-9.0, 0.0], [9.0, 0.0]], np.tile(np.eye(2), (2, 1, 1)))
    with pytest.warns(
        SlowMixingWarning, match=r"R-hat is above 1.01 in 2 of 2 arrays.*ReplicaExchange"
    ):
        found = restore(
            energy,
            np.zeros((2, 2)),
            noise=9.0,
            rng_key=KEY,
            kernel=MALA,
            num_warmup=50,
            num_samples=50,
        )
    assert found.worst_r_hat > 1.1
    assert "2 restored, worst R-hat" in str(found)


def test_the_model_is_one_of_numpyro():
    model = pickle.loads(pickle.dumps(restoration_model(NORMAL, OBSERVED[0], noise=0.5)))
    trace = handlers.trace(handlers.seed(handlers.substitute(model, {"x": MEAN}), KEY)).get_trace()
    assert set(trace) == {"x", "observed"}
    log_prob = trace["observed"]["fn"].log_prob(OBSERVED[0])
    assert float(log_prob) == pytest.approx(
        stats.norm(MEAN, 0.5).logpdf(OBSERVED[0]).sum(), rel=1e-5
    )


EYE = np.eye(4)


@pytest.mark.parametrize(
    ("observed", "settings", "message"),
    [
        (OBSERVED, {}, "`noise` must be given unless a `mask` alone"),
        (OBSERVED, {"mask": MASK, "operator": EYE}, "`noise` must be given"),
        (OBSERVED[0, 0], {"noise": 1.0}, r"`observed` of shape \(num, \*observed_shape\)"),
        (OBSERVED[:, :3], {"noise": 1.0}, r"`observed` of shape \(4,\); got \(3,\)"),
        (OBSERVED, {"noise": 1.0, "operator": BLUR}, r"`observed` of shape \(2,\); got \(4,\)"),
        (OBSERVED, {"noise": 1.0, "operator": BLUR.T}, r"a matrix, of shape \(observed_size, 4\)"),
        (OBSERVED, {"noise": 1.0, "operator": EYE * np.nan}, "`operator` must be finite"),
        (OBSERVED, {"noise": 0.0}, "`noise` must be a finite number above 0"),
        (OBSERVED, {"noise": [1.0, 1.0, 1.0, -1.0]}, "`noise` must be a finite number above 0"),
        (OBSERVED, {"noise": [1.0, 1.0]}, "`noise` of shape"),
        (OBSERVED * np.nan, {"noise": 1.0}, "`observed` must be finite"),
        (OBSERVED * np.nan, {"mask": MASK}, "`observed` must be finite"),
        (
            OBSERVED,
            {"mask": MASK * 1.0},
            "`mask` must hold True and False; got an array of float64",
        ),
        (OBSERVED, {"mask": MASK[:2]}, "`mask` of shape"),
        (OBSERVED, {"mask": MASK | True}, "`mask` must be True at at least one entry and fewer"),
        (
            OBSERVED,
            {"mask": MASK & False, "noise": 1.0},
            "`mask` must be True at at least one entry;",
        ),
        (
            OBSERVED,
            {"noise": 1.0, "num_chains": 1},
            "`num_chains` must be an integer of at least 2",
        ),
        (OBSERVED, {"noise": 1.0, "probability": 1.0}, "`probability` must be a number"),
    ],
)
def test_problems_that_are_none_are_refused(observed, settings, message):
    with pytest.raises(ValueError, match=message):
        restore(NORMAL, observed, rng_key=KEY, **settings)


def test_entries_outside_the_support_are_refused():
    positive = from_callable(lambda x: jnp.sum(x), (2,), constraints.positive)
    with pytest.raises(ValueError, match="`values` must lie in the energy's support"):
        restore(positive, [[-1.0, 1.0]], mask=[True, False], rng_key=KEY)
