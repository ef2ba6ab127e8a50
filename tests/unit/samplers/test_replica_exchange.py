"""Replica exchange: its joint law, its ladder, its records, and what it refuses."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax
from jaxtyping import TypeCheckError
from numpyro.infer import HMC
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.energies import Gaussian
from ebm_ppl.samplers import MALA, ReplicaExchange, ReplicaExchangeState
from ebm_ppl.samplers._warmup.mass_matrix import MomentsState
from ebm_ppl.samplers.replica_exchange import ladder
from ebm_ppl.samplers.replica_exchange.ladder import (
    NormalBase,
    equal_rejections,
    monotone_cubic,
    round_ends,
)

pytestmark = pytest.mark.usefixtures("light_compilation")

FIXED = {"adapt_step_size": False, "adapt_mass_matrix": False}
BASE = dist.Normal(0.0, 2.0).expand((1,))
LEVELS = np.array([0.0, 0.1, 0.4, 1.0])
# The product of N(0, 4) to the 1 - β and N(1, 1/4) to the β.
PRECISION = (1 - LEVELS) / 4 + LEVELS / 0.25
MEAN = LEVELS / 0.25 / PRECISION


class Hasty(ReplicaExchange):
    """Takes every difference of temperatures for twice what it is."""

    def log_acceptance(self, hotter: jax.Array, colder: jax.Array) -> jax.Array:
        return 2 * (hotter + colder)


def steps(kernel: Any, state: Any, length: int, *fields: str) -> tuple[Any, Any]:
    def advance(state: Any, _: None) -> tuple[Any, Any]:
        state = kernel.sample(state)
        return state, tuple(getattr(state, name) for name in fields)

    return jax.jit(lambda state: lax.scan(advance, state, None, length=length))(state)


def normal_kernel(cls: type[ReplicaExchange] = ReplicaExchange, **options: Any) -> ReplicaExchange:
    energy = Gaussian([1.0], [[0.25]])
    inner = MALA(potential_fn=ebm.potential_fn(energy), step_size=0.2, **FIXED)
    return cls(inner, BASE, **options)


@functools.cache
def five_chains() -> ReplicaExchangeState:
    keys = jax.random.split(jax.random.key(0), 5)
    return normal_kernel(num_replicas=3).init(keys, 10, jnp.zeros((5, 1)))


@pytest.mark.parametrize("cls", [ReplicaExchange, Hasty])
def test_the_joint_law_of_all_replicas_is_invariant(cls: type[ReplicaExchange]) -> None:
    """Ladders that start in equilibrium stay there: false alarms 1e-6 over seven tests.

    With the ratio of another temperature, the planted bug, p-values are below 1e-50.
    """
    kernel, num_chains = normal_kernel(cls, inverse_temperatures=LEVELS), 20_000
    noise = jax.random.normal(jax.random.key(1), (4, num_chains, 1))
    z = MEAN[:, None, None] + noise / np.sqrt(PRECISION)[:, None, None]

    @jax.jit
    def run(keys: jax.Array) -> Any:
        state = kernel.init(keys, 0, z[-1])
        state = kernel.refresh(state._replace(inner=state.inner._replace(z=z[1:])), (), {})
        return lax.fori_loop(0, 6, lambda _, state: kernel.sample(state), state)

    state = run(jax.random.split(jax.random.key(0), num_chains))
    ends = (np.asarray(state.inner.z[..., 0]) - MEAN[1:, None]) * np.sqrt(PRECISION[1:, None])
    p_values = [stats.kstest(level, "norm").pvalue for level in ends]
    p_values += [stats.pearsonr(*ends[list(pair)]).pvalue for pair in ((0, 1), (1, 2), (0, 2))]
    assert (min(p_values) > 1e-6 / 6) == (cls is ReplicaExchange)
    moved = np.mean(np.asarray(state.walkers) != np.arange(4), axis=0)
    assert moved.min() > 0.2


def test_states_are_conveyed_through_a_ladder_without_barriers() -> None:
    """With target and base law alike every exchange is accepted, and a round trip takes two a level."""
    law = dist.Normal(0.0, 1.0).expand((1,))
    inner = MALA(potential_fn=ebm.potential_fn(Gaussian([0.0], [[1.0]])), **FIXED)
    kernel = ReplicaExchange(inner, law, num_replicas=4)
    state = kernel.init(jax.random.key(0), 0, jnp.zeros(1))
    state, (walkers,) = steps(kernel, state, 80, "walkers")
    np.testing.assert_array_equal(walkers[:3], [[1, 0, 3, 2], [1, 3, 0, 2], [3, 1, 2, 0]])
    np.testing.assert_array_equal(np.sort(walkers, axis=1), np.tile(np.arange(4), (80, 1)))
    np.testing.assert_allclose(state.acceptance, 1.0, atol=1e-5)
    assert state.acceptance.shape == (3,)  # pairs of neighbours
    # Replicas arrive in every second step, the first of them after four levels.
    assert float(state.round_trip_rate) == pytest.approx(39 / 80)
    assert float(state.barrier) == pytest.approx(0.0, abs=1e-4)


def test_a_replica_is_heated_by_the_base_law_alone() -> None:
    """Between laws that have nothing in common no exchange is accepted."""
    law = dist.Normal(1e4, 0.1).expand((1,))
    inner = MALA(potential_fn=ebm.potential_fn(Gaussian([0.0], [[1.0]])), **FIXED)
    kernel = ReplicaExchange(inner, law, num_replicas=3)
    state, _ = steps(kernel, kernel.init(jax.random.key(0), 0, jnp.zeros(1)), 4)
    np.testing.assert_array_equal(state.is_heated, [True, False, False])


def test_round_trips_are_counted_from_the_end_of_warmup_on() -> None:
    law = dist.Normal(0.0, 1.0).expand((1,))
    inner = MALA(potential_fn=ebm.potential_fn(Gaussian([0.0], [[1.0]])), **FIXED)
    kernel = ReplicaExchange(inner, law, num_replicas=3)
    state, _ = steps(kernel, kernel.init(jax.random.key(0), 40, jnp.zeros(1)), 100)
    assert float(state.record.round_trips) > 5
    assert float(state.round_trip_rate) == pytest.approx(float(state.record.round_trips) / 60)


def test_a_base_is_fitted_to_draws_and_a_few_of_its_own() -> None:
    """Its moments are those of the draws joined with some of the law before."""
    draws = np.random.default_rng(0).normal(2.0, 0.5, (30, 1))
    deviations = np.sum((draws - draws.mean(axis=0)) ** 2, axis=0)
    moments = MomentsState(
        jnp.asarray(30.0), jnp.asarray(draws.mean(axis=0)), jnp.asarray(deviations)
    )
    base = NormalBase(jnp.array([-1.0]), jnp.array([3.0]))
    fitted = ladder._fitted_base(base, moments)
    num_own = ladder._PRIOR_DRAWS
    mean = (30 * draws.mean() - num_own) / (30 + num_own)
    square = (np.sum(draws**2) + num_own * (1.0 + 9.0)) / (30 + num_own)
    np.testing.assert_allclose(fitted.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(fitted.scale, np.sqrt(square - mean**2), rtol=1e-5)


@pytest.mark.slow
def test_levels_are_placed_where_rejections_are_alike() -> None:
    r"""Between N(0, s²) and N(0, 1) in d dimensions the log temperature is a line: β_k of τ^k.

    Warm-up of 64 ladders ends with rejections alike to 0.02, and a barrier near that of d/2 normal laws.
    """
    dim, scale = 10, 4.0
    inner = MALA(potential_fn=lambda z: 0.5 * jnp.sum(z**2))
    kernel = ReplicaExchange(inner, dist.Normal(0.0, scale).expand((dim,)), num_replicas=7)
    start = jax.random.normal(jax.random.key(1), (64, dim))
    state = kernel.init(jax.random.split(jax.random.key(0), 64), 400, start)
    state, _ = steps(kernel, state, 400)
    learned = state.ladder
    state, _ = steps(kernel, state, 400)
    for after, before in zip(jax.tree.leaves(state.ladder), jax.tree.leaves(learned), strict=True):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_allclose(state.acceptance, np.mean(state.acceptance), atol=0.06)
    precision = 1 / scale**2 + (1 - 1 / scale**2) * np.asarray(learned.inverse_temperatures)
    np.testing.assert_allclose(np.diff(np.log(precision)), np.log(scale**2) / 6, rtol=0.25)
    estimate = ebm.partition.exchange_estimate(state)
    truth = 0.5 * dim * np.log(2 * np.pi)
    assert abs(estimate.log_z - truth) < 6 * estimate.std_error
    assert estimate.std_error < 0.06


PLACED = jax.jit(equal_rejections)


@given(
    st.sampled_from([2, 9]).flatmap(
        lambda size: st.lists(st.floats(0.0, 1.0), min_size=size, max_size=size)
    ),
    st.floats(0.5, 4.0),
)
def test_ladders_rise_whatever_was_measured(rejection: list[float], power: float) -> None:
    levels = np.linspace(0, 1, len(rejection) + 1) ** power
    with float64():
        placed = np.asarray(PLACED(jnp.asarray(levels), jnp.asarray(rejection)))
    assert placed[0] == 0
    assert placed[-1] == 1
    assert np.all(np.diff(placed) >= 0)
    assert np.all(np.isfinite(placed))


def test_a_ladder_of_equal_rejections_stays() -> None:
    levels = jnp.array([0.0, 0.01, 0.3, 0.5, 1.0])
    np.testing.assert_allclose(PLACED(levels, jnp.full(4, 0.3)), levels, rtol=1e-5)


def test_cubics_meet_their_knots_and_straight_lines() -> None:
    cubic = jax.jit(monotone_cubic)
    x, at = np.array([0.0, 1.0, 1.5, 4.0]), np.linspace(0, 4, 99)
    np.testing.assert_allclose(cubic(x, x**3, x), x**3, rtol=1e-6)
    np.testing.assert_allclose(cubic(x, 2 * x, at), 2 * at, rtol=1e-6)
    assert np.all(np.diff(cubic(x, x**5, at)) > 0)


@given(st.integers(0, 3000))
def test_rounds_double_and_end_with_warmup(num_warmup: int) -> None:
    ends = round_ends(num_warmup)
    assert np.all(np.diff(ends) > 0)
    assert ends.size == 0 if num_warmup == 0 else ends[-1] == num_warmup - 1
    if num_warmup >= 32:
        assert ends[-2] == num_warmup // 2 - 1


@pytest.mark.slow
def test_a_learned_base_has_the_moments_of_the_draws() -> None:
    """Standard errors are below 0.02; a base law that stands still is off by one and by three."""
    scales = jnp.array([0.3, 4.0])
    inner = MALA(potential_fn=lambda z: 0.5 * jnp.sum((z / scales - 1) ** 2))
    kernel = ReplicaExchange(inner, num_replicas=3, adapt_base=True)
    state = kernel.init(jax.random.split(jax.random.key(0), 64), 400, jnp.ones((64, 2)))
    state, _ = steps(kernel, state, 500)
    np.testing.assert_allclose(state.ladder.base.mean / scales, 1.0, atol=0.15)
    np.testing.assert_allclose(state.ladder.base.scale / scales, 1.0, atol=0.1)
    assert float(state.acceptance.min()) > 0.85


@pytest.mark.slow
def test_modes_get_their_weights() -> None:
    """Two normal laws of weights 0.7 and 0.3, ten standard deviations apart; 64 chains start in the lesser.

    The share of the greater has a standard error near 0.01. MALA alone, started so, never leaves.
    """
    shift = jnp.array([5.0, 0.0])

    def potential(z: jax.Array) -> jax.Array:
        near, far = (-0.5 * jnp.sum((z - sign * shift) ** 2) for sign in (1, -1))
        return -jnp.logaddexp(jnp.log(0.7) + near, jnp.log(0.3) + far)

    start = jnp.broadcast_to(-shift, (64, 2))
    keys = jax.random.split(jax.random.key(0), 64)
    alone = MALA(potential_fn=potential)
    _, (z,) = steps(alone, alone.init(keys, 300, start), 500, "z")
    assert float(jnp.mean(z[..., 0] > 0)) == 0.0
    kernel = ReplicaExchange(alone, dist.Normal(0.0, 6.0).expand((2,)), num_replicas=5)
    state, _ = steps(kernel, kernel.init(keys, 300, start), 300)
    state, (z,) = steps(kernel, state, 700, "z")
    shares = np.mean(np.asarray(z[..., 0]) > 0, axis=0)
    error = shares.std(ddof=1) / np.sqrt(64)
    assert abs(shares.mean() - 0.7) < 6 * error
    assert error < 0.02
    assert float(state.round_trip_rate) > 0.05
    estimate = ebm.partition.exchange_estimate(state)
    assert abs(estimate.log_z - np.log(2 * np.pi)) < 6 * estimate.std_error


@pytest.mark.slow
def test_discrete_energies_are_tempered_along_their_own_path() -> None:
    machine = ebm.energies.RestrictedBoltzmannMachine(
        [[4.0], [-2.0], [1.0]], [0.0, 0.5, -1.0], [-1]
    )
    kernel = ReplicaExchange(ebm.BlockGibbs(ebm.as_model(machine)), num_replicas=3)
    state = kernel.init(jax.random.split(jax.random.key(0), 50), 100)
    state, _ = steps(kernel, state, 100)
    state, (z,) = steps(kernel, state, 400, "z")
    assert set(np.unique(z["x"])) == {0.0, 1.0}
    table = ebm.quadrature.enumerate_states(machine)
    means = np.asarray(z["x"]).mean(axis=0)
    error = means.std(axis=0, ddof=1) / np.sqrt(50)
    assert np.all(np.abs(means.mean(axis=0) - table.mean()) < 6 * error)
    estimate = ebm.partition.exchange_estimate(state)
    assert abs(estimate.log_z - table.log_z) < 6 * estimate.std_error


def test_log_z_needs_chains_and_draws() -> None:
    one = jax.jit(lambda key: normal_kernel().init(key, 0, jnp.zeros(1)))(jax.random.key(0))
    several = five_chains()
    for state, message in ((one, "at least 2 chains"), (several, "got 0 attempts")):
        with pytest.raises(ValueError, match=message):
            ebm.partition.exchange_estimate(state)
    other = MALA(potential_fn=lambda z: z**2).init(jax.random.key(0), 0, jnp.zeros(()))
    with pytest.raises((ValueError, TypeCheckError), match="run"):
        ebm.partition.exchange_estimate(other)  # pyright: ignore[reportArgumentType]


def test_log_z_needs_an_overlap_in_every_ladder_that_was_learned_alone() -> None:
    """Where chains share a ladder, one of them may have no share; the others tell."""
    state = five_chains()
    ones = jnp.ones((5, 2))
    record = state.record._replace(num_attempts=ones, rejection=0.5 * ones, up=0.5 * ones)
    record = record._replace(down=record.up.at[0, 0].set(0.0))
    shared = state._replace(record=record, iteration=jnp.asarray(2))
    assert np.isfinite(ebm.partition.exchange_estimate(shared).log_z)
    alone = jax.tree.map(lambda leaf: jnp.stack([leaf] * 5), shared.ladder)
    with pytest.raises(ebm.NonFiniteEnergyError, match="do not overlap"):
        ebm.partition.exchange_estimate(shared._replace(ladder=alone))


@pytest.mark.slow
def test_an_inner_kernel_keeps_its_mode_of_differentiation() -> None:
    """A loop of unknown length has no reverse mode."""

    def looping(z: jax.Array) -> jax.Array:
        return lax.while_loop(
            lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] + jnp.sum(z**2)), (0, 0.0)
        )[1]

    inner = HMC(potential_fn=looping, num_steps=2, forward_mode_differentiation=True)
    kernel = ReplicaExchange(inner, num_replicas=3)
    state = kernel.sample(kernel.init(jax.random.key(0), 0, jnp.zeros(2)))
    np.testing.assert_allclose(state.inner.z_grad[-1], 4 * state.inner.z[-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_replicas": 1}, "`num_replicas` must be an integer of at least 2; got 1"),
        ({"num_steps": 0}, "`num_steps` must be an integer of at least 1; got 0"),
        ({"inverse_temperatures": [0.0, 0.5]}, "`inverse_temperatures` must rise from 0 to 1"),
        ({"inverse_temperatures": [0.0, 0.5, 0.2, 1.0]}, "must rise from 0 to 1"),
        ({"inverse_temperatures": [0.0, 1.0], "num_replicas": 3}, "`num_replicas` must be that of"),
        ({"adapt_ladder": 1}, "adapt_ladder"),
        ({"adapt_base": "yes"}, "adapt_base"),
        ({"base": 3.0}, "`base` must be a NumPyro distribution or a path to the energy; got 3.0"),
        ({"base": 3.0, "adapt_base": True}, "`base` must be a NumPyro distribution; got 3.0"),
        (
            {"base": dist.Cauchy(0.0, 1.0).expand((1,)), "adapt_base": True},
            "`base` must have finite means, and variances above 0, if `adapt_base`; got",
        ),
        (
            {"base": dist.Delta(jnp.zeros(1), event_dim=1), "adapt_base": True},
            "`base` must have finite means, and variances above 0, if `adapt_base`; got Delta",
        ),
        ({"base": dist.Gamma(1.0, 1.0)}, "Expected `base` of shape"),
        ({"base": dist.Gamma(1.0, 1.0).expand((1,))}, "`base` must have the energy's support"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], message: str) -> None:
    inner = MALA(potential_fn=ebm.potential_fn(Gaussian([1.0], [[0.25]])))
    with pytest.raises((ValueError, TypeCheckError), match=message):
        ReplicaExchange(inner, **options)


def test_kernels_that_cannot_be_tempered_are_refused() -> None:
    kernel = normal_kernel()
    with pytest.raises(ValueError, match="`inner_kernel` must be a kernel of this package or"):
        ReplicaExchange(kernel)
    inner = MALA(potential_fn=lambda z: jnp.sum(z**2))
    path = ebm.annealing.GeometricPath(Gaussian([1.0], [[0.25]]))
    with pytest.raises(ValueError, match="`base` must be a NumPyro distribution; got"):
        ReplicaExchange(inner, path)
    wrong = ReplicaExchange(inner, dist.Normal(0.0, 1.0).expand((3,)))
    with pytest.raises(ValueError, match=r"Expected `base` of shape \(2,\)"):
        wrong.init(jax.random.key(0), 0, jnp.zeros(2))
    exchange = ebm.doubly_intractable.NoisyMetropolis(lambda: None, lambda *_: 0.0)
    with pytest.raises(ValueError, match="got NoisyMetropolis, which reads the model beside it"):
        ReplicaExchange(exchange)
    machine = ebm.energies.RestrictedBoltzmannMachine([[1.0]], [0.0], [0.0])
    with pytest.raises(ValueError, match="`adapt_base` must be False for a discrete energy"):
        ReplicaExchange(ebm.BlockGibbs(ebm.as_model(machine)), adapt_base=True)


@pytest.mark.slow
def test_models_without_a_path_from_their_prior_need_a_base() -> None:
    def improper() -> None:
        numpyro.sample("x", dist.ImproperUniform(dist.constraints.real, (), ()))
        numpyro.factor("f", 0.0)

    def summed() -> None:
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        k = numpyro.sample("k", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
        numpyro.sample("y", dist.Normal(x + k, 1.0), obs=0.5)

    with pytest.raises(
        ValueError, match="`base` must be given for a model whose prior has no draws"
    ):
        ReplicaExchange(MALA(improper)).init(jax.random.key(0), 0)

    def scaled() -> None:
        with numpyro.handlers.scale(scale=4.0):
            numpyro.sample("s", dist.Normal(0.0, 2.0))

    def masked() -> None:
        with numpyro.plate("rows", 2), numpyro.handlers.mask(mask=jnp.array([True, False])):
            numpyro.sample("m", dist.Normal(0.0, 2.0))

    for model, obstacle in (
        (summed, "'k' is summed out"),
        (scaled, "'s' is scaled or subsampled"),
        (masked, "'m' is masked"),
    ):
        with pytest.raises(ValueError, match=f"whose prior is not the law.*None, and {obstacle}"):
            ReplicaExchange(MALA(model)).init(jax.random.key(0), 0)
    kernel = ReplicaExchange(MALA(improper), dist.Normal(0.0, 2.0).expand((1,)), num_replicas=3)
    state = kernel.sample(kernel.init(jax.random.key(0), 0))
    assert state.z.keys() == {"x"}


@pytest.mark.parametrize("prefixes", [(), ("b", "a")])
def test_jacobians_belong_to_the_prior_under_any_name(prefixes: tuple[str, ...]) -> None:
    """NumPyro names them after the site and every scope around it."""

    def model() -> None:
        scale = numpyro.sample("s", dist.LogNormal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(scale, 1.0), obs=3.0)

    for prefix in prefixes:
        model = numpyro.handlers.scope(model, prefix=prefix)
    kernel = ReplicaExchange(MALA(model), inverse_temperatures=[0.0, 0.3, 1.0])
    state = kernel.init(jax.random.key(0), 0)
    (z,) = state.inner.z.values()
    prior, law = dist.Normal(0.0, 1.0), dist.Normal(jnp.exp(z), 1.0)
    expected = -prior.log_prob(z) - jnp.array([0.3, 1.0]) * law.log_prob(3.0)
    np.testing.assert_allclose(state.inner.potential_energy, expected, rtol=1e-5)


def test_a_step_says_what_it_costs() -> None:
    kernel = normal_kernel(num_replicas=4, num_steps=2)
    assert kernel.exact
    assert kernel.gradient_evaluations_per_step == 3 * 3
    assert kernel.potential_evaluations_per_step == 3 * 4 + 1
    walk = ebm.RandomWalkMetropolis(potential_fn=lambda z: jnp.sum(z**2))
    assert ReplicaExchange(walk).gradient_evaluations_per_step == 0
    langevin = ebm.Langevin(potential_fn=lambda z: jnp.sum(z**2))
    assert not ReplicaExchange(langevin).exact


def test_states_know_their_chains() -> None:
    state = five_chains()
    assert isinstance(state, ReplicaExchangeState)
    assert state.i.shape == (5,)
    assert state.adapt_state.step_size.shape == (5, 2)
    assert state.inverse_temperatures.shape == (5, 3)
    assert state._replace(rng_key=jax.random.key(3)).rng_key.shape == (5,)
    changed = state._replace(adaptation=state.adaptation._replace(step_size=jnp.ones(2)))
    np.testing.assert_array_equal(changed.inner.adaptation.step_size, 1.0)
