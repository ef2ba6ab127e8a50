"""Registration of energies as NumPyro potentials and models."""

import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpyro import handlers
from numpyro.distributions import constraints
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import Beta, DoubleWell, Gamma, Gaussian
from ebm_ppl.validation import strategies


def test_identity_on_the_real_line():
    energy = DoubleWell(dim=2)
    z = jnp.array([0.3, -0.7])
    assert ebm.potential_fn(energy)(z) == energy(z)


@pytest.mark.parametrize(
    ("energy", "log_pdf"),
    [
        (Gamma(3.0, 2.0), lambda z: stats.gamma(3.0, scale=0.5).logpdf(np.exp(z)) + z),
        (
            Beta(2.0, 3.0),
            lambda z: (
                stats.beta(2.0, 3.0).logpdf(1 / (1 + np.exp(-z))) + z - 2 * np.log1p(np.exp(z))
            ),
        ),
    ],
)
def test_the_log_jacobian_is_included(energy, log_pdf):
    z = np.linspace(-2.0, 1.0, 7)
    with float64():
        potential = jax.vmap(to_float64(ebm.potential_fn(energy)))(jnp.asarray(z))
    difference = np.asarray(potential) + log_pdf(z)
    np.testing.assert_allclose(difference, difference[0], atol=1e-10)


@eqx.filter_jit
def changed(energy, potential, z):
    """Whether the point of a position is inside; the way back; the Jacobian, the energy and the potential."""
    x = potential.constrain(z)
    jacobian = jax.jacfwd(potential.constrain)(z)
    return energy.support(x), potential.unconstrain(x), jacobian, energy(x), potential(z)


@pytest.mark.usefixtures("light_compilation")
@given(data=st.data())
def test_the_potential_is_the_energy_after_a_change_of_variables(data):
    energy = data.draw(strategies.energies())
    potential = ebm.potential_fn(energy)
    z = np.full(potential.position_shape, 0.4, dtype=np.float32)
    is_inside, back, jacobian, at_x, at_z = map(np.asarray, changed(energy, potential, z))
    assert is_inside.all()
    np.testing.assert_allclose(back, z, rtol=1e-3, atol=1e-3)
    expected = at_x - np.linalg.slogdet(jacobian.reshape(z.size, z.size))[1]
    np.testing.assert_allclose(at_z, expected, rtol=1e-4, atol=1e-3)


class Rates(ebm.AbstractEnergy):
    """A support that says nothing about the event's axis."""

    event_shape = (3,)
    support = constraints.positive

    def _energy(self, x):
        return jnp.sum(x)


def test_the_jacobians_of_coordinates_add_up_whatever_the_support_says_of_axes():
    z = jnp.array([-1.0, 0.5, 2.0])
    np.testing.assert_allclose(ebm.potential_fn(Rates())(z), np.sum(np.exp(z) - z), rtol=1e-6)


def test_batches_are_constrained_as_they_are():
    potential = ebm.potential_fn(Gamma(3.0, 1.0))
    np.testing.assert_allclose(potential.constrain(jnp.zeros(4)), jnp.ones(4))


def test_it_is_a_pytree_and_pickles():
    potential = ebm.potential_fn(Gamma(3.0, 1.0))
    assert len(jax.tree.leaves(potential)) == 2
    copy = pickle.loads(pickle.dumps(potential))
    assert copy(jnp.array(0.3)) == potential(jnp.array(0.3))


def test_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"`z` of shape \(2,\); got \(3,\)"):
        ebm.potential_fn(DoubleWell(dim=2))(jnp.zeros(3))


@pytest.mark.parametrize("register", [ebm.potential_fn, ebm.as_model, ebm.EnergyDistribution])
def test_what_is_no_energy_is_refused(register, monkeypatch):
    # what a user sees, who runs without the tests' type hook
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(TypeError, match="must be an AbstractEnergy; got function"):
        register(lambda x: x**2)
    regression = ebm.energies.ConditionalGaussian([[1.0]], [0.0], [[1.0]])
    with pytest.raises(TypeError, match=r"got ConditionalGaussian, an energy E\(x \| y\), .*`at\("):
        register(regression)


def test_the_model_has_one_site_of_the_given_name():
    model = ebm.as_model(Gaussian([0.0], [[1.0]]), name="position")
    trace = handlers.trace(handlers.seed(model, 0)).get_trace()
    assert list(trace) == ["position"]
    assert trace["position"]["value"].shape == (1,)


def test_the_model_pickles():
    model = pickle.loads(pickle.dumps(ebm.as_model(DoubleWell(dim=2))))
    assert model.name == "x"
