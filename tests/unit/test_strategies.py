"""The random energies are normalisable, of the size asked for, and of every shipped family."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from numpyro.distributions import biject_to, constraints

from ebm_ppl import energies as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.validation import strategies

pytestmark = [
    # beartype samples the entries of containers with the global `random`, on which Hypothesis frowns.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module"),
    pytest.mark.usefixtures("light_compilation"),
]


def is_real(support):
    return getattr(support, "base_constraint", support) is constraints.real or (
        support is constraints.real_vector
    )


def members(energy):
    """Types of an energy and of every energy inside it."""
    found = {type(energy)}
    for value in vars(energy).values():
        leaves = jax.tree.leaves(value, is_leaf=lambda node: isinstance(node, ebm.AbstractEnergy))
        for node in leaves:
            if isinstance(node, ebm.AbstractEnergy):
                found |= members(node)
    return found


@given(st.data(), st.sampled_from([1, 2, 3]), st.booleans())
def test_energies_have_the_size_and_support_asked_for(data, dim, bounded):
    energy = data.draw(strategies.energies(dim=dim, bounded=bounded))
    assert energy.event_size == dim
    assert len(energy.event_shape) <= 1
    assert is_real(energy.support) != bounded


@given(st.data())
def test_data_of_discrete_energies_are_states(data):
    energy = data.draw(
        st.sampled_from(
            [
                ebm.Ising((3, 3), 0.4),
                ebm.Potts(3, 0.5, ebm.Graph.lattice((3, 3))),
                ebm.RestrictedBoltzmannMachine([[1.0], [0.5]], [0.0, 0.1], [0.2]),
            ]
        )
    )
    points = data.draw(strategies.datasets(energy, min_size=3, max_size=3))
    assert points.shape == (3, *energy.event_shape)
    assert bool(jnp.all(jax.vmap(energy.support)(points)))


@given(st.data())
def test_points_and_data_lie_in_the_support_with_finite_energies(data):
    energy = data.draw(strategies.energies())
    points = data.draw(strategies.datasets(energy, min_size=3, max_size=3))
    assert points.shape == (3, *energy.event_shape)
    assert bool(jnp.all(jax.vmap(energy.support)(points)))
    assert np.all(np.isfinite(jax.vmap(energy)(points)))


@pytest.mark.slow
@given(st.data())
def test_the_score_is_the_gradient_of_the_energy(data):
    energy = data.draw(strategies.energies())
    x = data.draw(strategies.points(energy))
    with float64():
        exact, x = to_float64(energy), jnp.asarray(x, dtype=jnp.float64)
        # Unequal entries, so that swapped coordinates do not cancel.
        direction = jnp.linspace(0.5, 1.0, x.size).reshape(x.shape)
        step = 1e-6 * jnp.minimum(1.0, x if not is_real(energy.support) else 1.0)
        step = jnp.min(step)
        slope = (exact(x + step * direction) - exact(x - step * direction)) / (2 * step)
        derivative = -jnp.vdot(exact.score(x), direction)
    scale = 1 + abs(float(slope))
    assert abs(float(derivative - slope)) < 1e-4 * scale


@pytest.mark.slow
@given(st.data())
def test_energies_normalise(data):
    energy = data.draw(strategies.energies(dim=1))
    transform = biject_to(energy.support)
    shape = transform.inverse_shape(energy.event_shape)

    def potential(z):
        x = transform(z.reshape(shape))
        jacobian = transform.log_abs_det_jacobian(z.reshape(shape), x)
        return energy(x) - jnp.sum(jacobian)

    # A conditioned banana may lie as far out as 6 units; beyond 30 all that is left is tail.
    tails = jnp.array([-60.0, -30.0, 30.0, 60.0])
    values = jax.vmap(potential)(jnp.concatenate([tails, jnp.linspace(-6.0, 6.0, 49)]))
    far, near = values[:4], values[4:]
    assert np.all(far > jnp.min(near) + 5)
    assert far[0] > far[1]
    assert far[3] > far[2]


@pytest.mark.slow
def test_every_shipped_family_is_generated():
    families = {
        member
        for member in vars(ebm).values()
        if isinstance(member, type)
        and issubclass(member, ebm.AbstractEnergy)
        and member is not ebm.AbstractEnergy
        # Their sweeps and tables of states have tests of their own.
        and not issubclass(member, (ebm.AbstractBlockwiseEnergy, ebm.AbstractCategoricalEnergy))
    }
    missing = set(families)

    def is_last(energy):
        missing.difference_update(members(energy))
        return not missing

    generate = settings(max_examples=2_000, phases=[Phase.generate], database=None)
    try:
        find(strategies.energies(), is_last, settings=generate)
    except NoSuchExample:
        assert not missing


@pytest.mark.slow
@settings(max_examples=8)
@given(st.data())
def test_any_kernel_on_any_energy_stays_finite_and_keeps_its_books(data):
    """The state's energy is that of its position, whatever the kernel, the tuning and the support."""
    potential = EnergyPotential(data.draw(strategies.energies()))
    kernel = data.draw(strategies.kernels(potential))
    start = jnp.zeros(potential.position_shape)
    state = kernel.init(jax.random.key(0), 3, start, (), {})
    state = jax.jit(
        lambda state: jax.lax.fori_loop(0, 8, lambda _, s: kernel.sample(s, (), {}), state)
    )(state)
    assert bool(jnp.all(jnp.isfinite(state.z)))
    assert bool(jnp.all(potential.energy.support(potential.constrain(state.z))))
    np.testing.assert_allclose(state.potential_energy, potential(state.z), rtol=1e-3, atol=1e-3)


def test_kernels_of_one_kind_can_be_asked_for():
    potential = EnergyPotential(ebm.Quartic())
    inexact = {"Langevin", "UnderdampedLangevin"}
    for exact in (True, False):
        kernel = find(strategies.kernels(potential, exact=exact), lambda _: True)
        assert (type(kernel).__name__ in inexact) is not exact
