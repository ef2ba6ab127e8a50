import jax
import numpy as np
import pytest
from scipy import special, stats

from ebm_ppl._precision import float64
from ebm_ppl.energies import Beta, Gamma


@pytest.mark.parametrize(("alpha", "beta"), [(3.0, 2.0), (0.5, 0.5), (1.0, 4.0)])
def test_beta_differs_from_minus_the_log_density_by_log_z(alpha, beta):
    points = np.array([1e-6, 0.1, 0.5, 0.999])
    with float64():
        values = np.asarray(jax.vmap(Beta(alpha, beta))(points))
    expected = -stats.beta(alpha, beta).logpdf(points)
    np.testing.assert_allclose(values + special.betaln(alpha, beta), expected, atol=1e-12)


@pytest.mark.parametrize(("alpha", "rate"), [(3.0, 2.0), (0.5, 1.0), (1.0, 0.25)])
def test_gamma_differs_from_minus_the_log_density_by_log_z(alpha, rate):
    points = np.array([1e-6, 0.1, 1.0, 50.0])
    log_z = special.gammaln(alpha) - alpha * np.log(rate)
    with float64():
        values = np.asarray(jax.vmap(Gamma(alpha, rate))(points))
    expected = -stats.gamma(alpha, scale=1 / rate).logpdf(points)
    np.testing.assert_allclose(values + log_z, expected, atol=1e-12)


@pytest.mark.parametrize(
    "energy", [Beta(1.0, 1.0), Beta(0.5, 2.0), Gamma(1.0, 1.0), Gamma(0.5, 1.0)]
)
def test_gradients_are_finite_close_to_the_edge(energy):
    points = np.array([1e-30, 1e-10, 0.5, 1 - 2**-23], dtype=np.float32)
    assert np.all(np.isfinite(jax.vmap(energy.score)(points)))


@pytest.mark.parametrize(
    ("family", "name"),
    [
        (Beta, "concentration1"),
        (Beta, "concentration0"),
        (Gamma, "concentration"),
        (Gamma, "rate"),
    ],
)
@pytest.mark.parametrize("value", [0.0, -2.0, np.inf])
def test_bad_parameters_are_refused(family, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number above 0"):
        family(**{name: value})
