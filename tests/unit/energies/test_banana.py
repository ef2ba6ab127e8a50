import numpy as np
import pytest
from scipy import stats

from ebm_ppl.energies import Banana


def test_it_is_a_normal_law_and_a_normal_law_about_the_square():
    a, b, scale = -0.5, 3.0, 0.75
    energy = Banana(a=a, b=b, scale=scale)
    log_z = np.log(np.pi * scale * np.sqrt(2 / b))
    for x0, x1 in [(0.0, 0.0), (1.0, -1.0), (-2.0, 3.0)]:
        expected = stats.norm(a, scale).logpdf(x0)
        expected += stats.norm(x0**2, np.sqrt(0.5 / b)).logpdf(x1)
        np.testing.assert_allclose(energy([x0, x1]), -expected - log_z, rtol=1e-5, atol=1e-5)


def test_the_bottom_of_the_valley_is_at_a_and_its_square():
    assert Banana(a=1.0, b=100.0, scale=0.5)([1.0, 1.0]) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": np.inf}, "`a` must be finite everywhere"),
        ({"b": 0.0}, "`b` must be a finite number above 0"),
        ({"scale": -1.0}, "`scale` must be a finite number above 0"),
    ],
)
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Banana(**arguments)
