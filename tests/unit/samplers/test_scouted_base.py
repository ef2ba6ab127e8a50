"""What replica exchange begins with: scouts that find modes, and a base law that covers them."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.infer import MCMC
from scipy import special, stats

import ebm_ppl as ebm
from ebm_ppl.annealing import Cover, CoveringLaw, _scouts, cover, find_modes
from ebm_ppl.energies import Beta, GaussianMixture, from_callable
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import MALA, RandomWalkMetropolis, ReplicaExchange
from ebm_ppl.validation.hard_problems import FAMILIES

pytestmark = pytest.mark.usefixtures("light_compilation")

STARTS = jnp.array([[1.0, -1.0], [-2.0, 0.5]])


def two_modes(distance: float, width: float) -> Any:
    """Two modes of equal mass, 1 and `width` wide."""
    scales = jnp.array([1.0, width])
    locs = jnp.array([[0.0, 0.0], [0.6 * distance, 0.8 * distance]])

    def value(z: jax.Array) -> jax.Array:
        away = jnp.sum((z - locs) ** 2, axis=1) / scales**2
        return -jax.nn.logsumexp(-0.5 * away - 2 * jnp.log(scales)) + jnp.log(4 * jnp.pi)

    return value


@pytest.mark.parametrize("distance", [3.0, 40.0, 900.0])
@pytest.mark.parametrize("width", [0.05, 1.0, 8.0])
def test_scouts_find_and_weigh_two_modes(distance: float, width: float) -> None:
    """Modes that do not overlap have half of the mass each."""
    if width > distance:
        pytest.skip("the wide mode is a background, not a mode")
    modes = jax.jit(lambda starts: find_modes(two_modes(distance, width), starts))(STARTS)
    found = np.isfinite(modes.log_mass)
    places = np.asarray(modes.places)[found]
    np.testing.assert_allclose(jax.nn.logsumexp(modes.log_mass), 0.0, atol=0.1)
    for place, scale in (((0.0, 0.0), 1.0), ((0.6 * distance, 0.8 * distance), width)):
        nearest = np.argmin(np.linalg.norm(places - place, axis=1))
        np.testing.assert_allclose(places[nearest], place, atol=0.3 * scale)
        np.testing.assert_allclose(np.asarray(modes.widths)[found][nearest], scale, rtol=0.3)


def test_narrow_and_far_modes_are_seen_because_the_lowest_points_walk(monkeypatch: Any) -> None:
    """The planted bug: as many scouts, at random."""
    find = lambda: find_modes(two_modes(700.0, 0.06), STARTS)  # noqa: E731
    assert int(np.sum(np.isfinite(find().log_mass))) == 2
    monkeypatch.setattr(_scouts, "_LOWEST", 0)
    assert int(np.sum(np.isfinite(find().log_mass))) == 1


def test_flat_minima_have_the_width_at_which_the_energy_rises() -> None:
    """Where a parabola is of no use: x^4, whose curvature at 0 is 0."""
    modes = find_modes(lambda z: jnp.sum(z**4), STARTS)
    assert int(np.sum(np.isfinite(modes.log_mass))) == 1
    np.testing.assert_allclose(modes.places[0], 0.0, atol=0.2)
    rise = np.asarray(modes.widths[0]) ** 4
    assert np.all((rise > 0.1) & (rise < 2.0))


def test_a_flat_place_on_a_slope_is_no_minimum() -> None:
    """-x^3 / 3 + x^4 / 40 has no slope at 0, where walks stay, and its minimum at 10."""

    def value(z: jax.Array) -> jax.Array:
        return jnp.sum(-(z**3) / 3 + z**4 / 40)

    at = jax.vmap(lambda z: _scouts._as_normal(value, z))
    assert np.asarray(at(jnp.array([[0.0], [10.0]])).is_minimum).tolist() == [False, True]


def test_a_guess_at_a_saddle_hides_no_minimum(monkeypatch: Any) -> None:
    """Two wells, and walkers that start at the saddle, where they stay; its guess is e^30 times too large."""
    as_normal = _scouts._as_normal

    def with_large_guesses(value: Any, z: jax.Array) -> Any:
        modes = as_normal(value, z)
        return modes._replace(log_mass=modes.log_mass + jnp.where(modes.is_minimum, 0.0, 30.0))

    monkeypatch.setattr(_scouts, "_as_normal", with_large_guesses)
    value, at_saddle = lambda z: jnp.sum((z**2 - 9) ** 2 / 36), jnp.zeros((32, 1))
    hidden = find_modes(value, at_saddle)
    assert np.asarray(hidden.places)[np.isfinite(hidden.log_mass)].tolist() == [[0.0]]
    seen = find_modes(value, at_saddle, minima_only=True)
    places = np.sort(np.asarray(seen.places)[np.isfinite(seen.log_mass)].ravel())
    np.testing.assert_allclose(places, [-3.0, 3.0], atol=1e-3)


def law_of(value: Any, energy: Any = None) -> CoveringLaw:
    return CoveringLaw(cover(find_modes(value, STARTS)), energy)


def test_a_covering_law_is_normalised_and_draws_from_its_density() -> None:
    """By quadrature over the plane, and by KS along an axis: false alarms 1e-6."""
    law = law_of(two_modes(6.0, 0.5))
    axis = jnp.linspace(-30, 30, 601)
    grid = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(np.asarray(jax.vmap(law.log_prob)(grid), np.float64)).reshape(601, 601)
    assert density.sum() * 0.01 == pytest.approx(1.0, abs=2e-4)
    along = np.cumsum(density.sum(axis=1)) * 0.01
    draws = np.asarray(law.sample(jax.random.key(0), (20_000,)))[:, 0]
    distribution = lambda x: np.interp(x, np.asarray(axis) + 0.05, along / along[-1])  # noqa: E731
    assert stats.kstest(draws, distribution).pvalue > 1e-6
    assert stats.kstest(1.1 * draws, distribution).pvalue < 1e-6


def test_without_a_mode_there_is_the_usual_law() -> None:
    """A potential that is no number anywhere has no mode."""
    law = law_of(lambda z: jnp.sum(z) * jnp.nan)
    z = jnp.array([0.3, -1.2])
    expected = stats.norm.logpdf(np.asarray(z)).sum()
    np.testing.assert_allclose(law.log_prob(z), expected, rtol=1e-5)
    assert np.all(np.isfinite(law.sample(jax.random.key(0), (100,))))


def test_who_names_a_base_or_does_without_warmup_has_no_scouts() -> None:
    def energy(z: jax.Array) -> jax.Array:
        return 0.5 * z**2

    def opaque(z: jax.Array) -> jax.Array:
        return 0.5 * jax.pure_callback(lambda z: z**2, jax.ShapeDtypeStruct((), z.dtype), z)

    named = ReplicaExchange(MALA(potential_fn=energy), dist.Normal(0.0, 1.0).expand((1,)))
    for kernel, num_warmup, looks in (
        (ReplicaExchange(MALA(potential_fn=energy)), 10, True),
        (ReplicaExchange(MALA(potential_fn=energy)), 0, False),
        (named, 10, False),
        (ReplicaExchange(RandomWalkMetropolis(potential_fn=opaque)), 10, False),
    ):
        state = kernel.init(jax.random.key(0), num_warmup, jnp.zeros(()))
        assert isinstance(state.ladder.base, Cover) == looks


@functools.cache
def far_run(method: Any) -> MCMC:
    energy = GaussianMixture(
        [0.3, 0.7], [[0.0, 0.0], [-30.0, 44.0]], [jnp.eye(2), 0.04 * jnp.eye(2)]
    )
    mcmc = MCMC(
        ReplicaExchange(MALA(ebm.as_model(energy)), num_replicas=4),
        num_warmup=200,
        num_samples=400,
        num_chains=4,
        chain_method=method,
        progress_bar=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        mcmc.run(jax.random.key(0))
    return mcmc


# Shares of chains are of a binomial law with at least as many trials as round trips: 0.3 in the mean of four
# chains is off by 0.15 with a probability below 1e-6 from 250 trips on.
@pytest.mark.slow
@pytest.mark.parametrize("method", ["vectorized", "sequential", pytest.param(jax.vmap, id="vmap")])
def test_far_and_narrow_modes_have_their_weights(method: Any) -> None:
    """With a standard normal law for a base, the planted bug, no chain ever sees the second mode."""
    mcmc = far_run(method)
    share = float(np.mean(np.asarray(mcmc.get_samples()["x"])[:, 1] < 20.0))
    assert share == pytest.approx(0.3, abs=0.15)
    last: Any = mcmc.last_state
    assert int(np.sum(np.asarray(last.record.round_trips))) > 250


@pytest.mark.slow
def test_bounded_laws_are_covered_in_unconstrained_coordinates() -> None:
    """The base law has the usual law's tails there, and log Z comes out as that of the beta law."""
    energy = Beta(0.3, 0.5)
    kernel = ReplicaExchange(MALA(ebm.as_model(energy)), num_replicas=4)
    mcmc = MCMC(
        kernel,
        num_warmup=200,
        num_samples=1000,
        num_chains=16,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0))
    estimate = ebm.partition.exchange_estimate(mcmc)
    off = estimate.log_z - special.betaln(0.3, 0.5)
    assert abs(off) < 6 * estimate.std_error < 0.3
    draws = np.asarray(mcmc.get_samples()["x"])
    assert float(np.mean(draws)) == pytest.approx(0.375, abs=0.05)


@pytest.mark.parametrize("name", ["many_wells", "funnel", "banana", "units", "offset"])
def test_scouts_stay_finite_on_hard_problems(name: str) -> None:
    problem = FAMILIES[name].draw(np.random.default_rng(0), 2)
    value = potential_fn(problem.energy)
    found: Any = cover(jax.jit(lambda starts: find_modes(value, starts))(STARTS))
    law = CoveringLaw(found, problem.energy)
    draws = law.sample(jax.random.key(0), (200,))
    assert np.all(np.isfinite(draws))
    assert np.all(np.isfinite(jax.vmap(law.log_prob)(draws)))
    assert all(np.all(np.isfinite(leaf)) for leaf in found[1:])
    assert float(np.exp(ravel_pytree(found.log_weights)[0]).sum()) == pytest.approx(1.0, abs=1e-5)


def test_scouts_need_second_derivatives_and_not_too_many_coordinates() -> None:
    wide = from_callable(lambda x: 0.5 * jnp.sum(x**2), (65,))
    kernel = ReplicaExchange(MALA(potential_fn=potential_fn(wide)))
    state = kernel.init(jax.random.key(0), 10, jnp.zeros(65))
    assert not isinstance(state.ladder.base, Cover)
