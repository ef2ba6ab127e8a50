import jax
import numpy as np
import pytest
from scipy import stats

from ebm_ppl.energies import Funnel


def test_it_differs_from_minus_the_log_density_by_log_z():
    energy = Funnel(dim=3, scale=2.0)
    log_z = 1.5 * np.log(2 * np.pi) + np.log(2.0)
    for v, x in [(0.0, [0.0, 1.0]), (-3.0, [0.1, -0.2]), (2.5, [4.0, -1.0])]:
        expected = stats.norm(0, 2.0).logpdf(v) + stats.norm(0, np.exp(v / 2)).logpdf(x).sum()
        np.testing.assert_allclose(energy([v, *x]), -expected - log_z, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("v", [-100.0, -170.0, -300.0, -1e10])
def test_the_neck_has_no_nan_on_its_axis(v):
    energy = Funnel(dim=2)
    assert not np.isnan(energy([v, 0.0]))
    score = energy.score([v, 0.0])
    assert not np.any(np.isnan(score))
    assert score[1] == 0.0


def test_the_curvature_on_the_axis_is_that_of_the_conditional_law():
    energy = Funnel(dim=2, scale=3.0)
    curvature = jax.jit(jax.hessian(lambda x: energy(x)))(np.array([-40.0, 0.0], np.float32))
    np.testing.assert_allclose(curvature, np.diag([1 / 9, np.exp(40.0)]), rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 1}, "`dim` must be an integer of at least 2; got 1"),
        ({"scale": 0.0}, "`scale` must be a finite number above 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Funnel(**arguments)
