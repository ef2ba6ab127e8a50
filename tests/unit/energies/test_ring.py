import numpy as np
import pytest

from ebm_ppl.energies import Ring


def test_value_depends_on_the_radius_only():
    energy = Ring(radius=2.0, width=0.5)
    np.testing.assert_allclose(energy([3.0, 4.0]), (5.0 - 2.0) ** 2 / 0.5, rtol=1e-6)
    np.testing.assert_allclose(energy([-5.0, 0.0]), energy([3.0, 4.0]), rtol=1e-6)


def test_gradient_at_the_centre_is_zero():
    energy = Ring(radius=2.0, width=0.5)
    assert energy([0.0, 0.0]) == 8.0
    np.testing.assert_array_equal(energy.score([0.0, 0.0]), [0.0, 0.0])


def test_gradient_beside_the_centre_points_outwards():
    np.testing.assert_allclose(Ring(radius=2.0, width=1.0).score([1e-3, 0.0]), [1.999, 0.0])


@pytest.mark.parametrize("name", ["radius", "width"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_bad_parameters_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number above 0"):
        Ring(**{name: value})
