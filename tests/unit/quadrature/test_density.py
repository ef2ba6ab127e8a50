"""What a normalised one-dimensional density answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import Beta, Gamma, Gaussian, GaussianMixture, Quartic, from_callable
from ebm_ppl.quadrature import normalize

MIXTURE = GaussianMixture(
    weights=[0.25, 0.75], locs=[[-3.0], [1.0]], covariance_matrices=[[[0.25]], [[1.0]]]
)
CAUCHY = from_callable(lambda x: jnp.log1p(x**2), ())
CASES = {
    "beta": (Beta(2.0, 3.0), stats.beta(2, 3)),
    "gamma": (Gamma(3.0, 2.0), stats.gamma(3, scale=0.5)),
    "cauchy": (CAUCHY, stats.cauchy()),
    "upper": (from_callable(lambda x: -x, (), constraints.less_than(3.0)), None),
}


@pytest.fixture(scope="module")
def densities():
    return {name: normalize(energy) for name, (energy, _) in CASES.items()}


@pytest.mark.parametrize("name", ["beta", "gamma", "cauchy"])
def test_matches_scipy(densities, name):
    density, truth = densities[name], CASES[name][1]
    p = np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 0.9999])
    x = truth.ppf(p)
    np.testing.assert_allclose(density.cdf(x), p, atol=1e-8, rtol=1e-8)
    np.testing.assert_allclose(density.quantile(p), x, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(density.density(x), truth.pdf(x), rtol=1e-9)
    assert density.entropy() == pytest.approx(truth.entropy(), abs=1e-9)


def test_decreasing_transform(densities):
    density = densities["upper"]
    x = np.array([-2.0, 0.0, 2.5])
    np.testing.assert_allclose(density.cdf(x), np.exp(x - 3.0), atol=1e-10)
    np.testing.assert_allclose(density.quantile(np.exp(x - 3.0)), x, atol=1e-8)


@given(
    name=st.sampled_from(sorted(CASES)),
    probability=st.lists(st.floats(1e-9, 1 - 1e-9), min_size=2, max_size=8),
)
def test_cdf_inverts_quantile_and_is_monotone(densities, name, probability):
    density = densities[name]
    p = np.sort(probability)
    x = density.quantile(p)
    assert np.all(np.diff(x) >= 0)
    # At the upper edge of the unit interval neighbouring floats x differ by 1e-16.
    np.testing.assert_allclose(density.cdf(x), p, atol=1e-12)


def test_ends_of_the_support(densities):
    assert densities["beta"].cdf([0.0, 1.0]).tolist() == [0.0, 1.0]
    assert densities["gamma"].cdf([-1.0, 0.0, np.inf]).tolist() == [0.0, 0.0, 1.0]
    assert densities["beta"].density([-0.5, 1.5]).tolist() == [0.0, 0.0]
    assert np.all(np.isfinite(densities["cauchy"].quantile([0.0, 1.0])))


def test_moments_of_a_mixture():
    density = normalize(MIXTURE)
    assert density.mean().shape == (1,)
    np.testing.assert_allclose(density.mean(), [0.0], atol=1e-7)
    np.testing.assert_allclose(density.variance(), [0.25 * (0.25 + 9) + 0.75 * 2.0], rtol=1e-7)
    np.testing.assert_allclose(density.expectation(lambda x: x**3).shape, (1,))
    assert float(density.expectation(lambda x: 1.0)) == pytest.approx(1.0, abs=1e-12)


def test_shapes_and_types():
    density = normalize(MIXTURE)
    x = density.sample(jax.random.key(0), (2, 3))
    assert x.shape == (2, 3, 1)
    assert x.dtype == np.float64
    for value in (density.log_density(x), density.cdf(x), density.density(x)):
        assert value.shape == (2, 3)
        assert value.dtype == np.float64
    assert density.quantile(0.5).shape == (1,)
    assert density.rosenblatt(x).shape == (2, 3, 1)
    with pytest.raises(ValueError, match="Expected `x` of shape"):
        density.cdf(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="probability"):
        density.quantile(1.5)
    with pytest.raises(ValueError, match="rosenblatt"):
        normalize(Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])).cdf(np.zeros(2))


def test_additive_constant_leaves_the_density_alone():
    plain = normalize(from_callable(lambda x: x**4 - x, ()))
    shifted = normalize(from_callable(lambda x: x**4 - x + 1234.5, ()))
    x = np.linspace(-2, 2, 9)
    assert shifted.log_z == pytest.approx(plain.log_z - 1234.5, abs=1e-9)
    np.testing.assert_allclose(shifted.density(x), plain.density(x), rtol=1e-11)
    np.testing.assert_allclose(shifted.cdf(x), plain.cdf(x), atol=1e-11)


def test_kl_of_two_normals():
    first = normalize(Gaussian([0.0], [[1.0]]))
    second = Gaussian([1.0], [[4.0]])
    assert first.kl(second) == pytest.approx(np.log(2.0) + 2.0 / 8.0 - 0.5, abs=1e-10)


def test_kl_is_infinite_where_the_other_has_no_mass():
    energy = from_callable(lambda x: 0.5 * x**2, ())
    assert normalize(energy).kl(normalize(energy, bounds=(-1.0, 1.0))) == np.inf


def test_draws_follow_the_density():
    # KS on 200,000 exact draws: false alarm 1e-8; sees a CDF off by 0.01 with power over 99.9%.
    density = normalize(MIXTURE)
    x = density.sample(jax.random.key(5), (200_000,))[:, 0]

    def cdf(value):
        return 0.25 * stats.norm.cdf(value, -3, 0.5) + 0.75 * stats.norm.cdf(value, 1, 1)

    assert stats.kstest(x, cdf).pvalue > 1e-8
    planted = np.where(x > 1.0, x + 0.05, x)  # the upper tail 5% of a standard deviation off
    assert stats.kstest(planted, cdf).pvalue < 1e-8


def test_log_z_gradient_identity():
    # d log Z / d theta = -E[dE / d theta], by central differences of log Z.
    density = normalize(Quartic(a=0.5, b=0.25, gamma=0.0))
    step = 2.0**-10
    ends = [normalize(Quartic(a=0.5 + sign * step, b=0.25, gamma=0.0)).log_z for sign in (-1, 1)]
    assert (ends[1] - ends[0]) / (2 * step) == pytest.approx(
        -float(density.expectation(lambda x: x**2)), abs=1e-6
    )


def test_leaves_the_precision_of_the_session_alone():
    normalize(MIXTURE).sample(jax.random.key(0), (4,))
    assert jnp.ones(2).dtype == jnp.float32
    assert not jax.config.jax_enable_x64


def test_refuses_traced_parameters():
    with pytest.raises(ValueError, match="QuadratureNormalizer"):
        jax.jit(lambda a: normalize(Quartic(a=a)).log_z)(1.0)
