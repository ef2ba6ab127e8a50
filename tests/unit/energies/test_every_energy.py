"""What holds of every shipped energy: pytree, transformations, gradients, precision, storage."""

import functools
import inspect
import io
import pickle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import TypeCheckError
from numpyro.distributions import biject_to, constraints

from ebm_ppl import energies as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.validation.targets import discover

SHIPPED = {name: target.energy for name, target in discover().items()} | {
    "sum": ebm.SumEnergy(ebm.Quartic(a=0.5, b=0.25), ebm.Quartic(a=-0.5, gamma=-1.0)),
    "tempered": ebm.TemperedEnergy(ebm.TiltedDoubleWell(dim=2), 0.5),
    "conditioned": ebm.ConditionedEnergy(ebm.Funnel(dim=3, scale=1.0), [0.5], [1]),
    "affine": ebm.AffineEnergy(ebm.TiltedDoubleWell(dim=2), [1.0, -2.0], [0.5, 2.0]),
    "likelihood": ebm.LikelihoodEnergy(
        ebm.ConditionalGaussian([[1.0], [0.5]], [0.25, 0.0], [[2.0, 0.5], [0.5, 1.0]]),
        [[0.5], [-1.0]],
    ),
    "binary_machine": ebm.RestrictedBoltzmannMachine(
        [[1.0], [-2.0], [0.5], [0.2], [-1.5]], [0.1, 0.2, -0.3, 0.0, 0.4], [0.3]
    ),
    "real_machine": ebm.GaussianBernoulliRBM(
        [[1.0, 0.5], [-2.0, 0.3]], [0.1, 0.2], [0.3, -0.5], [0.2, -0.4]
    ),
    "ising": ebm.Ising((2, 3), coupling=0.4, field=-0.2, periodic=False),
    "boltzmann": ebm.BoltzmannMachine(
        [0.5, -1.0], [0.2, -0.3, 0.4], ebm.Graph(3, [(0, 1), (1, 2)])
    ),
    "graph_ising": ebm.GraphIsing(0.5, [0.2, -0.3, 0.4], ebm.Graph(3, [(0, 1), (1, 2)])),
    "potts": ebm.Potts(3, 0.8, ebm.Graph(3, [(0, 1), (1, 2)]), [0.3, -0.2]),
    "adapted": ebm.from_callable(ebm.Gaussian([0.5, -1.0], [[2.0, 0.5], [0.5, 1.0]]), (2,)),
}
NUM_POINTS = 400
every_energy = pytest.mark.parametrize("energy", SHIPPED.values(), ids=SHIPPED)


def support_points(energy, count, spread=1.0):
    """Points inside the support, as images of normal draws or states, in double precision."""
    name = next(name for name, shipped in SHIPPED.items() if shipped is energy)
    return points_of(name, spread)[:count]


@functools.cache  # of one shape, so that the map into the support is compiled once
def points_of(name, spread):
    energy, rng = SHIPPED[name], np.random.default_rng(0)
    space = StateSpace.of(energy)
    if space is not None:
        index = rng.integers(space.total, size=NUM_POINTS)
        with float64():
            return np.asarray(jax.jit(space.states)(jnp.asarray(index)))
    transform = biject_to(energy.support)
    unconstrained = spread * rng.normal(
        size=(NUM_POINTS, *transform.inverse_shape(energy.event_shape))
    )
    with float64():
        return np.asarray(transform(jnp.asarray(unconstrained)))


def test_every_exported_class_is_among_the_cases():
    exported = {
        member
        for _, member in inspect.getmembers(ebm, inspect.isclass)
        if issubclass(member, ebm.AbstractEnergy) and not inspect.isabstract(member)
    }
    assert exported == {type(energy) for energy in SHIPPED.values()}


@every_energy
def test_interface(energy):
    x = support_points(energy, 1)[0]
    assert isinstance(energy.support, constraints.Constraint)
    assert energy.support.event_dim == len(energy.event_shape)
    assert energy.event_size == max(1, x.size)
    assert jax.eval_shape(energy, x).shape == ()
    assert jax.eval_shape(energy.score, x).shape == energy.event_shape


@every_energy
def test_a_point_of_another_shape_is_refused(energy):
    wrong = (*energy.event_shape, 5)
    with pytest.raises(ValueError, match=r"Expected `x` of shape .*; got .*5,?\)"):
        energy(np.full(wrong, 0.5))


@every_energy
def test_every_leaf_is_a_floating_point_array(energy):
    assert jax.tree.leaves(energy)
    for leaf in jax.tree.leaves(energy):
        assert isinstance(leaf, jax.Array)
        assert jnp.issubdtype(leaf.dtype, jnp.floating)


@every_energy
def test_plain_transformations_take_the_energy_as_an_argument(energy):
    points = support_points(energy, 4).astype(np.float32)
    evaluate = jax.jit(jax.vmap(lambda model, x: model(x), in_axes=(None, 0)))
    batched = evaluate(energy, points)
    np.testing.assert_allclose(batched, [energy(x) for x in points], rtol=2e-5, atol=2e-5)
    # A second copy of the same energy must not compile again.
    evaluate(jax.tree.map(lambda leaf: leaf + 0, energy), points)
    assert evaluate._cache_size() == 1
    gradient = jax.jit(jax.grad(lambda model: model(points[0])))(energy)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient))


NUMBERS_ARE_NAMES = {
    name for name, energy in SHIPPED.items() if isinstance(energy, ebm.AbstractCategoricalEnergy)
}


@pytest.mark.parametrize("name", sorted(SHIPPED.keys() - NUMBERS_ARE_NAMES))
def test_score_is_minus_the_finite_difference_gradient(name):
    energy = SHIPPED[name]
    points = support_points(energy, 6)
    with float64():
        exact = to_float64(energy)
        scores = np.asarray(jax.jit(jax.vmap(exact.score))(points)).reshape(6, -1)
        step = 1e-6
        shifts = step * np.eye(energy.event_size).reshape(-1, 1, *energy.event_shape)
        evaluate = jax.jit(jax.vmap(jax.vmap(exact)))
        slopes = np.asarray(evaluate(points + shifts) - evaluate(points - shifts)).T / (2 * step)
    np.testing.assert_allclose(scores, -slopes, rtol=1e-6, atol=1e-6)


@every_energy
def test_precision_follows_the_session(energy):
    x = support_points(energy, 1)[0]
    assert energy(x.astype(np.float32)).dtype == jnp.float32
    with float64():
        exact = jax.jit(lambda model, x: model(x))(to_float64(energy), x)
        assert exact.dtype == jnp.float64
    np.testing.assert_allclose(energy(x.astype(np.float32)), exact, rtol=2e-5, atol=2e-5)


@every_energy
def test_no_nan_inside_the_support(energy):
    if StateSpace.of(energy) is not None:
        points = support_points(energy, 32)
    elif energy.support.event_dim == 0 and energy.support is not constraints.real:
        points = np.array([1e-30, 1e-6, 0.5, 1 - 2**-24])
    else:
        spreads = (1e-30, 1e-3, 10.0, 1e4, 1e15)
        points = np.concatenate([spread * support_points(energy, 32) for spread in spreads])
        # Zeros beside huge values are where products of 0 and infinity lurk.
        zeros = np.arange(points.size).reshape(points.shape) % 2
        points = np.concatenate([points, np.where(zeros, 0, points)])
    evaluate = jax.jit(jax.vmap(lambda model, x: model(x), in_axes=(None, 0)))
    values = evaluate(energy, points.astype(np.float32))
    assert not np.any(np.isnan(values))


@every_energy
def test_leaves_round_trip_through_a_file(energy):
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, energy)
    buffer.seek(0)
    blank = jax.tree.map(jnp.zeros_like, energy)
    restored = eqx.tree_deserialise_leaves(buffer, blank)
    assert eqx.tree_equal(restored, energy)


@every_energy
def test_pickle_round_trip(energy):
    restored = pickle.loads(pickle.dumps(energy))
    x = support_points(energy, 1)[0].astype(np.float32)
    assert restored(x) == energy(x)
    assert restored.event_shape == energy.event_shape


def distance_of_constants_from_the_tangent_space(energy, points):
    """Relative distance of the constant function from the span of dE/dtheta, on sample points.

    It is zero exactly if some direction in parameter space adds a constant to the energy.
    """
    with float64():
        flat, restore = ravel_pytree(to_float64(energy))
        tangent = jax.vmap(jax.grad(lambda theta, x: restore(theta)(x)), in_axes=(None, 0))
        jacobian = np.asarray(jax.jit(tangent)(flat, points))
    scales = np.linalg.norm(jacobian, axis=0)
    jacobian = jacobian[:, scales > 0] / scales[scales > 0]
    ones = np.ones(len(points))
    solution = np.linalg.lstsq(jacobian, ones, rcond=1e-13)[0]
    return np.linalg.norm(ones - jacobian @ solution) / np.linalg.norm(ones)


@pytest.mark.parametrize("name", sorted(SHIPPED.keys() - {"guided_gaussian", "likelihood"}))
def test_no_parameter_is_a_free_additive_constant(name):
    """Left out are differences and sums of one energy at several conditions, which these shift."""
    energy = SHIPPED[name]
    points = support_points(energy, NUM_POINTS, spread=1.5)
    assert distance_of_constants_from_the_tangent_space(energy, points) > 1e-6


def test_a_free_additive_constant_would_be_seen():
    class Offset(ebm.AbstractEnergy):
        offset: jax.Array = eqx.field(converter=ebm.as_parameter, default=1.0)
        event_shape = ()
        support = constraints.real

        def _energy(self, x):
            return x**2 + self.offset

    points = np.random.default_rng(0).normal(size=NUM_POINTS)
    assert distance_of_constants_from_the_tangent_space(Offset(), points) < 1e-12


def test_parameters_stay_concrete_when_built_from_constants_under_tracing():
    @jax.jit
    def build(x):
        gaussian = ebm.Gaussian([0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]])
        mixture = ebm.GaussianMixture([0.5, 0.5], [[0.0], [1.0]], [[[1.0]], [[2.0]]])
        leaves = jax.tree.leaves((gaussian, mixture, ebm.Quartic(), ebm.Ring()))
        assert not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)
        return gaussian(x)

    build(jnp.zeros(2))


def test_an_energy_of_many_numbers_is_refused():
    class Forgetful(ebm.AbstractEnergy):
        event_shape: tuple[int, ...] = (2,)

        @property
        def support(self):
            return constraints.real_vector

        def _energy(self, x):
            return x**2

    with pytest.raises(ValueError, match=r"Expected `_energy\(x\)` of shape \(\); got \(2,\)"):
        Forgetful()(np.zeros(2))


def test_a_random_location_of_an_affine_energy_is_refused():
    def shifted(loc):
        return ebm.AffineEnergy(ebm.Quartic(), loc, 1.0)(0.0)

    with pytest.raises(ValueError, match="`loc` must be constant, not random, optimised or"):
        jax.grad(shifted)(0.5)


def test_sums_are_of_energies():
    with pytest.raises((ValueError, TypeCheckError), match="AbstractEnergy"):
        ebm.SumEnergy(ebm.Quartic(), "x")
