"""The quartic partition function by Bessel functions, against what shares nothing with it."""

import numpy as np
import pytest
from scipy import integrate

from ebm_ppl.validation.estimation import QUARTIC, even_quartic_log_z
from ebm_ppl.validation.targets._quartic_series import quartic_moments
from tests.unit.validation.estimation.toy import BEST, NODES


@pytest.mark.parametrize("a", [2.0, 0.5, 1e-3, 0.0, -1e-3, -0.5, -2.0, -6.0])
@pytest.mark.parametrize("quartic", [0.05, 0.13, 2.0])
def test_it_agrees_with_adaptive_quadrature_and_the_series(a, quartic):
    found = even_quartic_log_z(a, quartic)
    depth = min(0.0, -a * abs(a) / (4 * quartic)) if a < 0 else 0.0
    integral, _ = integrate.quad(
        lambda x: np.exp(-a * x**2 - quartic * x**4 + depth), 0, np.inf, epsabs=0, epsrel=1e-12
    )
    np.testing.assert_allclose(found, np.log(2 * integral) - depth, atol=1e-10)
    if a * a < 8 * quartic * 100:
        np.testing.assert_allclose(found, quartic_moments(a, 0.0, quartic)[0], atol=1e-10)


def test_it_agrees_with_the_nodes_at_the_population_maximum():
    assert even_quartic_log_z(BEST[0], BEST[2]) == pytest.approx(
        QUARTIC.log_z(BEST, NODES), abs=1e-12
    )


def test_deep_wells_do_not_overflow():
    # Laplace's approximation of both wells, with relative error of order lambda / a².
    a, quartic = -200.0, 1.0
    laplace = a * a / 4 + np.log(2 * np.sqrt(np.pi / 400.0))
    assert even_quartic_log_z(a, quartic) == pytest.approx(laplace, abs=1e-4)


def test_a_quartic_that_opens_downwards_is_refused():
    with pytest.raises(ValueError, match="`quartic` must be a finite number above 0; got -1"):
        even_quartic_log_z(1.0, -1.0)
