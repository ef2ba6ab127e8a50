"""Runs that do nothing, or little, say so once they end, whatever the way in which NumPyro runs them."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC
from scipy import stats

from ebm_ppl.samplers import (
    MALA,
    MAMS,
    MCLMC,
    ChEESHMC,
    Langevin,
    RandomWalkMetropolis,
    ReplicaExchange,
)
from ebm_ppl.samplers._numpyro.run_record import RunRecord, energy_fraction, kurtosis, no_record

pytestmark = pytest.mark.usefixtures("light_compilation")

METHODS = ["sequential", "vectorized", "parallel", pytest.param(jax.vmap, id="vmap")]


def norm(z: jax.Array) -> jax.Array:
    """Its gradient at 0 is NaN."""
    return jnp.sqrt(jnp.sum(z**2))


def standard(z: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(z**2)


def coarse(z: jax.Array) -> jax.Array:
    """A normal law of scale 0.016 around 7.2, in steps of 64 in single precision."""
    large = 0.5 * jnp.sum(((z - 7.2) / 0.016) ** 2) + jnp.float32(1e9)
    return jax.lax.optimization_barrier(large) - jnp.float32(1e9)  # which compilers would cancel


def run(kernel: Any, starts: jax.Array, **options: Any) -> tuple[MCMC, list[str]]:
    """A run, and its warnings about itself."""
    options = {"num_warmup": 30, "num_samples": 30, "progress_bar": False, **options}
    mcmc = MCMC(kernel, num_chains=len(starts), **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mcmc.run(jax.random.key(0), init_params=starts if len(starts) > 1 else starts[0])
    ours = [one for one in caught if one.category is RuntimeWarning]
    assert all(one.filename == __file__ for one in ours)
    return mcmc, [str(one.message) for one in ours]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_start_without_a_gradient_is_named(method: Any) -> None:
    _, found = run(MALA(potential_fn=norm), jnp.zeros((2, 2)), chain_method=method)
    assert len(found) == (2 if method == "sequential" else 1)
    assert all("MALA refused every step of" in one and "`init_params`" in one for one in found)


@pytest.mark.parametrize("num_chains", [1, 2])
def test_a_progress_bar_changes_nothing(num_chains: int) -> None:
    options = {"chain_method": "vectorized", "progress_bar": True}
    _, found = run(MALA(potential_fn=norm), jnp.zeros((num_chains, 2)), **options)
    assert len(found) == 1


def test_the_end_of_warm_up_is_soon_enough() -> None:
    mcmc = MCMC(MALA(potential_fn=norm), num_warmup=30, num_samples=1, progress_bar=False)
    with pytest.warns(RuntimeWarning, match="refused every step of the chain"):
        mcmc.warmup(jax.random.key(0), init_params=jnp.zeros(2))


def test_one_dead_chain_is_told_from_the_others() -> None:
    starts = jnp.ones((3, 2)).at[1].set(0.0)
    _, found = run(MALA(potential_fn=norm), starts, chain_method="vectorized")
    assert len(found) == 1
    assert "1 of 3 chains (number 1)" in found[0]


def test_a_chain_that_hardly_moves_is_named() -> None:
    kernel = RandomWalkMetropolis(potential_fn=standard, step_size=1e4, adapt_step_size=False)
    _, found = run(kernel, jnp.zeros((2, 2)), num_samples=200, chain_method="vectorized")
    assert len(found) == 1
    assert "accepted less than 1%" in found[0]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("kernel", [MALA, Langevin, ChEESHMC], ids=lambda kernel: kernel.__name__)
def test_healthy_runs_say_nothing(kernel: Any, method: Any) -> None:
    starts = jax.random.normal(jax.random.key(1), (2, 2))
    _, found = run(kernel(potential_fn=standard), starts, num_samples=200, chain_method=method)
    assert not found


@pytest.mark.parametrize("kernel", [ChEESHMC, MAMS], ids=lambda kernel: kernel.__name__)
def test_steps_that_rounding_swallows_are_no_acceptance(kernel: Any) -> None:
    """Energies round to so much that short steps change none: without a floor steps fell to 1e-38."""
    starts = jnp.linspace(7.1, 7.3, 8)[:, None]
    options = {"num_warmup": 300, "num_samples": 200, "chain_method": "vectorized"}
    mcmc, found = run(kernel(potential_fn=coarse), starts, **options)
    names = "a few roundings of the position", "accepted less than 1%"
    assert any(name in one for one in found for name in names)
    draws = mcmc.get_samples(group_by_chain=True)
    unmoved = np.mean(draws[:, 1:] == draws[:, :-1], axis=1)
    assert np.min(unmoved) < 0.5


def test_a_proposal_where_the_chain_stands_counts_as_refused() -> None:
    kernel = RandomWalkMetropolis(potential_fn=standard, step_size=1e-12)
    state = jax.jit(kernel.sample)(kernel.init(jax.random.key(0), 0, jnp.ones(2)))
    assert float(state.accept_prob) == 0.0
    np.testing.assert_array_equal(state.z, jnp.ones(2))


def shifted(offset: float) -> Any:
    return lambda z: standard(z) + jnp.float32(offset)


@pytest.mark.parametrize(("offset", "is_named"), [(1e4, False), (1e6, True), (3e6, True)])
def test_mclmc_names_a_rounding_that_it_cannot_bear(offset: float, is_named: bool) -> None:
    """Beyond, variances of 0.94 and 0.90 for 1 came with an R-hat of 1.000."""
    starts = jax.random.normal(jax.random.key(1), (4, 3))
    _, found = run(MCLMC(potential_fn=shifted(offset)), starts, chain_method="vectorized")
    assert len(found) == is_named
    assert all("rounding is" in one and "Subtract a constant" in one for one in found)


@pytest.mark.parametrize(("offset", "is_named"), [(1e6, False), (1e8, True)])
def test_adjusted_kernels_bear_more(offset: float, is_named: bool) -> None:
    starts = jax.random.normal(jax.random.key(1), (4, 3))
    _, found = run(MALA(potential_fn=shifted(offset)), starts, chain_method="vectorized")
    assert any("rounding is" in one for one in found) == is_named


def banana(z: jax.Array) -> jax.Array:
    """Standard deviations of 10 and 4.36."""
    return z[0] ** 2 / 200 + 0.5 * (z[1] + 0.03 * (z[0] ** 2 - 100)) ** 2


def test_divergences_are_named_with_a_remedy() -> None:
    kernel = ChEESHMC(potential_fn=banana, step_size=0.2, adapt_step_size=False)
    starts = 5 * jax.random.normal(jax.random.key(1), (16, 2))
    _, found = run(kernel, starts, chain_method="vectorized", num_samples=100)
    assert any("diverged after warm-up" in one and "`target_accept_prob`" in one for one in found)


# Over six seeds the deviations of the two standard deviations are of 0.05 and 0.05: the bands of 0.4 and 0.3
# are left by chance less than once in 1e8 runs, while a fixed target of 0.8 ends at 9.7 and 3.8.
@pytest.mark.slow
def test_divergences_raise_the_target_until_the_tails_are_reached() -> None:
    options = {"num_warmup": 1000, "num_samples": 2000, "chain_method": "vectorized"}
    starts = jax.random.normal(jax.random.key(9), (64, 2))
    mcmc, found = run(ChEESHMC(potential_fn=banana), starts, **options)
    assert not found
    spread = np.std(np.asarray(mcmc.get_samples()), axis=0)
    np.testing.assert_allclose(spread, [10.0, 4.36], atol=0.3)
    assert float(np.mean(mcmc.get_extra_fields()["diverging"])) < 0.003


def funnel(z: jax.Array) -> jax.Array:
    """Its neck is too narrow for any step that suits the rest."""
    return z[0] ** 2 / 18 + z[0] + 0.5 * jnp.exp(-z[0]) * jnp.sum(z[1:] ** 2)


def test_a_law_that_no_target_suits_is_named() -> None:
    options = {"num_warmup": 300, "num_samples": 300, "chain_method": "vectorized"}
    starts = jax.random.normal(jax.random.key(1), (16, 3))
    _, found = run(ChEESHMC(potential_fn=funnel), starts, **options)
    assert any("diverged after warm-up" in one and "other coordinates" in one for one in found)


def trapped(z: jax.Array) -> jax.Array:
    """A normal law, and a trap far away that no step of the others' size leaves or stays in."""
    return -jnp.logaddexp(-standard(z), -0.5 * jnp.sum(((z - 30) / 1e-3) ** 2))


@pytest.mark.parametrize("kernel", [MALA, ChEESHMC], ids=lambda kernel: kernel.__name__)
def test_one_stuck_chain_is_named_and_costs_the_others_little(kernel: Any) -> None:
    """All steps were a hundred times shorter as long as one of 64 chains decided."""
    starts = jax.random.normal(jax.random.key(3), (64, 5)).at[5].set(30.0)
    options = {"num_warmup": 300, "num_samples": 120, "chain_method": "vectorized"}
    mcmc, found = run(kernel(potential_fn=trapped, adapt_mass_matrix=False), starts, **options)
    assert any("1 of 64 chains (number 5)" in one for one in found)
    assert not any("diverged after warm-up" in one for one in found)
    state: Any = mcmc.last_state
    assert float(state.adaptation.step_size) > 0.1


def record_of(draws: np.ndarray, energies: np.ndarray) -> RunRecord:
    """The record of draws of shape (steps, chains, dim), the first ten of which are warm-up."""
    positions, of_chains = jnp.asarray(draws, jnp.float32), jnp.asarray(energies, jnp.float32)
    scale = jnp.full(draws.shape[2], 0.7)

    def advance(record: RunRecord, step: Any) -> tuple[RunRecord, None]:
        return record.add(positions[step], scale, of_chains[step], step - 9), None

    start = no_record(positions[0, 0], of_chains[0])
    return jax.lax.scan(advance, start, jnp.arange(len(draws)))[0]


def test_a_record_has_the_kurtosis_and_the_e_bfmi_of_its_draws() -> None:
    """Those of SciPy and of Stan's formula, the draws of warm-up left out."""
    rng = np.random.default_rng(0)
    draws = 5.0 + rng.laplace(size=(2010, 3, 2)) ** np.array([1, 3])
    energies = 1e3 + np.cumsum(rng.normal(size=(2010, 3)), axis=0)
    draws[:10], energies[:10] = 1e3, -1e4
    record = record_of(draws, energies)
    # Deviations are from the mean so far, which differs from the last one at the beginning.
    pooled = draws[10:].reshape(-1, 2)
    np.testing.assert_allclose(kurtosis(record), stats.kurtosis(pooled, fisher=False), rtol=0.03)
    kept = energies[10:]
    expected = np.sum(np.diff(kept, axis=0) ** 2) / np.sum((kept - kept.mean(axis=0)) ** 2)
    np.testing.assert_allclose(energy_fraction(record), expected, rtol=0.01)


def heavy(z: jax.Array) -> jax.Array:
    """A Cauchy law along one axis of two."""
    return 0.5 * z[0] ** 2 + jnp.log1p(z[1] ** 2)


def from_sixteen_starts(kernel: Any, potential_fn: Any, dim: int) -> list[str]:
    options = {"num_warmup": 300, "num_samples": 500, "chain_method": "vectorized"}
    starts = jax.random.normal(jax.random.key(1), (16, dim))
    return run(kernel(potential_fn=potential_fn), starts, **options)[1]


# The kurtosis of 8,000 independent draws of a Cauchy law is below 659 in 1% of 3,000 trials, below 406 in
# 0.1% and never below 297; at that rate it is below 50 in fewer than one of 1e6.
@pytest.mark.parametrize("kernel", [MAMS, ChEESHMC], ids=lambda kernel: kernel.__name__)
def test_heavy_tails_are_named(kernel: Any) -> None:
    found = from_sixteen_starts(kernel, heavy, 2)
    assert any("heavy tails: coordinate 1 of 2" in one and "non-centred" in one for one in found)


def centred(z: jax.Array) -> jax.Array:
    """A hundred coordinates whose scale is another one."""
    return z[0] ** 2 / 2 + 50 * z[0] + 0.5 * jnp.exp(-z[0]) * jnp.sum(z[1:] ** 2)


def short_trajectories(**options: Any) -> MAMS:
    fixed = {"adapt_trajectory_length": False, "adapt_step_size": False}
    return MAMS(trajectory_length=0.05, step_size=0.05, **fixed, **options)


@pytest.mark.parametrize(
    ("kernel", "law", "dim"),
    [(ChEESHMC, centred, 101), (short_trajectories, standard, 10)],
    ids=["ChEESHMC", "MAMS"],
)
def test_energies_that_change_too_little_are_named(kernel: Any, law: Any, dim: int) -> None:
    """Momenta of a hundred coordinates change the energy by 7, of a hundred and fifty that it has."""
    found = from_sixteen_starts(kernel, law, dim)
    assert any("E-BFMI of" in one and "non-centred" in one for one in found)


def logistic_regression(z: jax.Array) -> jax.Array:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(60, 4)))
    return standard(z) + jnp.sum(jnp.logaddexp(0.0, -(x @ z)))


def non_centred_schools(z: jax.Array) -> jax.Array:
    """Eight schools (Rubin 1981): mean, log of the standard deviation, and effects in units of it."""
    effects = jnp.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
    errors = jnp.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    mu, log_tau, theta = z[0], z[1], z[2:]
    tau = jnp.exp(log_tau)
    prior = 0.5 * (mu / 5) ** 2 + jnp.log1p((tau / 5) ** 2) - log_tau + standard(theta)
    return prior + 0.5 * jnp.sum(((effects - mu - tau * theta) / errors) ** 2)


WELL_BEHAVED = {
    "normal": (standard, 10),
    "two modes": (lambda z: -jnp.logaddexp(-standard(z - 1.5), -standard(z + 1.5)), 2),
    "logistic": (lambda z: jnp.sum(z + 2 * jnp.logaddexp(0.0, -z)), 5),
    "exponential": (lambda z: jnp.sum(jnp.exp(z) - z), 5),
    "logistic regression": (logistic_regression, 4),
    "eight schools, non-centred": (non_centred_schools, 10),
}


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [MALA, MAMS, ChEESHMC, MCLMC], ids=lambda one: one.__name__)
@pytest.mark.parametrize("law", WELL_BEHAVED)
def test_well_behaved_laws_raise_no_alarm(law: str, kernel: Any) -> None:
    """Sample kurtosis, at most 30 here, and E-BFMI, at least 0.5, are far from where runs warn."""
    found = from_sixteen_starts(kernel, *WELL_BEHAVED[law])
    assert not [one for one in found if "heavy tails" in one or "E-BFMI" in one]


@pytest.mark.parametrize(
    "method", ["vectorized", pytest.param("sequential", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("loc", "is_named"), [(0.0, False), (1e4, True)])
def test_ladders_that_nothing_travels_are_named(method: str, loc: float, is_named: bool) -> None:
    """Between laws that have nothing in common no exchange is accepted."""
    base = dist.Normal(loc, 1.0).expand((1,))
    kernel = ReplicaExchange(MALA(potential_fn=standard), base, num_replicas=3)
    options = {"num_warmup": 30, "num_samples": 1000, "chain_method": method}
    _, found = run(kernel, jnp.zeros((2, 1)), **options)
    assert any("No draw of the base law" in one for one in found) == is_named
    assert is_named or not found


def test_replica_exchange_names_heavy_tails() -> None:
    kernel = ReplicaExchange(MALA(potential_fn=heavy), num_replicas=3)
    starts = jax.random.normal(jax.random.key(1), (16, 2))
    options = {"num_warmup": 100, "num_samples": 500, "chain_method": "vectorized"}
    _, found = run(kernel, starts, **options)
    assert any("heavy tails: coordinate 1 of 2" in one for one in found)
