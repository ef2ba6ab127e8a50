"""Bridge sampling: closed forms, chains, pytrees, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import constraints
from numpyro.infer.util import potential_energy, unconstrain_fn
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl.energies import Gamma, Gaussian, GaussianMixture, from_callable
from ebm_ppl.partition import SmallSampleWarning, bridge_sampling
from ebm_ppl.partition._bridge_estimate import _solve, _terms, estimate_from_bridge

KEY = jax.random.key(0)


def autoregressive(rng, num_chains, num_draws, correlation):
    """Chains whose stationary law is standard normal."""
    chain = np.empty((num_chains, num_draws))
    chain[:, 0] = rng.normal(size=num_chains)
    for step in range(1, num_draws):
        noise = np.sqrt(1 - correlation**2) * rng.normal(size=num_chains)
        chain[:, step] = correlation * chain[:, step - 1] + noise
    return chain


def standardised_errors(correlation, num_runs=300):
    """Errors in standard errors for a standard normal target and a proposal N(0.5, 1.5^2)."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(num_runs):
        chain = autoregressive(rng, 4, 200, correlation)
        drawn = 0.5 + 1.5 * rng.normal(size=800)

        def log_ratio(z):
            return -0.5 * z**2 + 0.5 * ((z - 0.5) / 1.5) ** 2 + np.log(1.5)

        estimate = estimate_from_bridge(log_ratio(chain), log_ratio(drawn), 0.95)
        errors.append(estimate.log_z / estimate.std_error)
    return np.array(errors)


def test_figures_of_independent_draws_are_those_of_quadrature():
    """Standard error, overlap and effective sizes, for a standard normal target and N(0.5, 1.5^2).

    Of 20,000 and 30,000 draws they have relative errors of 1%; tolerances are five of them.
    """
    rng = np.random.default_rng(3)
    target, proposal = stats.norm(), stats.norm(0.5, 1.5)
    log_z = 3.0

    def log_ratio(z):
        return log_z + target.logpdf(z) - proposal.logpdf(z)

    estimate = estimate_from_bridge(
        log_ratio(rng.normal(size=(4, 5_000))), log_ratio(proposal.rvs(30_000, rng)), 0.9
    )
    z = np.linspace(-9.0, 10.0, 4_001)
    p, q = target.pdf(z), proposal.pdf(z)
    size = estimate.diagnostics["ess_target"]
    assert size == pytest.approx(20_000, rel=0.1)
    share = size / (size + 30_000)
    mixture = share * p + (1 - share) * q

    def moments(weight, term):
        mean = np.trapezoid(weight * term, z)
        return mean, np.trapezoid(weight * term**2, z) / mean**2 - 1

    overlap, of_target = moments(p, q / mixture)
    same, of_proposal = moments(q, p / mixture)
    assert same == pytest.approx(overlap)
    assert estimate.diagnostics["overlap"] == pytest.approx(overlap, rel=0.02)
    expected = np.sqrt(of_target / size + of_proposal / 30_000)
    assert estimate.std_error == pytest.approx(expected, rel=0.05)
    assert estimate.diagnostics["ess_proposal"] == pytest.approx(
        30_000 / (1 + of_proposal), rel=0.02
    )
    assert estimate.ess == min(size, estimate.diagnostics["ess_proposal"])
    assert abs(estimate.log_z - log_z) < 5.5 * expected
    assert estimate.interval is not None
    # Quantiles of 500 replicates have relative errors of 5%; they only ever widen what a normal law gives.
    ends = (np.array(estimate.interval) - estimate.log_z) / (stats.norm.ppf(0.95) * expected)
    assert -1.3 < ends[0] < -0.94
    assert 0.94 < ends[1] < 1.3


def test_target_and_proposal_may_change_places():
    """With as many draws of both: Z becomes 1 / Z, with the same error.

    Where few proposals hit, the interval is that of Student's law with as many degrees of freedom.
    """
    rng = np.random.default_rng(4)
    narrow, wide = rng.normal(size=300), 30.0 * rng.normal(size=300)

    def log_ratio(z):
        return stats.norm.logpdf(z) - stats.norm.logpdf(z, scale=30.0)

    estimate = estimate_from_bridge(log_ratio(narrow)[None], log_ratio(wide), 0.95)
    flipped = estimate_from_bridge(-log_ratio(wide)[None], -log_ratio(narrow), 0.95)
    assert estimate.diagnostics["ess_target"] == flipped.diagnostics["ess_target"] == 300.0
    assert flipped.log_z == pytest.approx(-estimate.log_z)
    assert flipped.std_error == pytest.approx(estimate.std_error)
    assert 15 < estimate.ess < 40
    assert estimate.interval is not None
    student = stats.t.ppf(0.975, estimate.ess - 1) * estimate.std_error
    ends = (estimate.log_z - student, estimate.log_z + student)
    assert estimate.interval == pytest.approx(ends)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_errors_are_as_large_as_they_claim(correlation):
    """300 runs tell a standard deviation of 1 from one of 1.3, and a mean of 0 from 0.32, at 5.5 sigma.

    The planted bug counts each of the correlated draws as independent.
    """
    errors = standardised_errors(correlation)
    assert 0.75 < errors.std() < 1.3
    assert abs(errors.mean()) < 5.5 / np.sqrt(300)


@pytest.mark.slow
def test_an_error_that_ignores_correlation_is_seen(monkeypatch):
    monkeypatch.setattr(
        "ebm_ppl.partition._bridge_estimate._effective_size", lambda terms: float(terms.size)
    )
    assert standardised_errors(0.9).std() > 1.3


def test_a_proposal_that_is_the_target_leaves_nothing_open():
    # As many draws as not, and all terms equal: log Z is the log ratio.
    estimate = estimate_from_bridge(np.full((2, 20), 3.0), np.full(40, 3.0), 0.95)
    assert estimate.log_z == pytest.approx(3.0)
    assert estimate.std_error == pytest.approx(0.0, abs=1e-12)
    assert estimate.diagnostics["overlap"] == pytest.approx(1.0)


def test_terms_of_both_laws_share_every_point_among_them():
    """With s1 p and s2 q in the place of p and q, what they have of s1 p + s2 q adds up to 1."""
    log_ratio = np.linspace(-30.0, 30.0, 7)
    target, proposal = _terms(log_ratio, log_ratio, 1.5, size=30.0, count=90)
    np.testing.assert_allclose(0.25 * proposal + 0.75 * target, 1.0, rtol=1e-12)
    np.testing.assert_allclose(proposal / target, np.exp(log_ratio - 1.5), rtol=1e-12)


def test_constrained_energies_are_bridged_in_unconstrained_space():
    draws = jax.random.gamma(KEY, 3.0, (4, 2_000))
    estimate = bridge_sampling(Gamma(3.0, 1.0), draws, jax.random.key(1))
    # Five and a half of its own standard errors: false alarms below 1e-7; 0.06 off is seen.
    assert abs(estimate.log_z - np.log(2.0)) < 5.5 * estimate.std_error < 0.06


def test_the_evidence_of_a_numpyro_model():
    """One normal mean with a known variance, and its evidence in closed form."""
    y = jnp.array([0.3, 1.2, -0.4, 0.8, 1.9])

    def model():
        scale = numpyro.sample("scale", dist.Uniform(0.0, 1.0))  # the data say nothing of it
        mean = numpyro.sample("mean", dist.Normal(0.0, 2.0))
        numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        return scale

    variance = 1 / (5 + 0.25)
    key_mean, key_scale, key_bridge = jax.random.split(KEY, 3)
    samples = {
        "mean": variance * y.sum() + np.sqrt(variance) * jax.random.normal(key_mean, (2, 1_000)),
        "scale": jax.random.uniform(key_scale, (2, 1_000)),
    }
    unconstrain = jax.vmap(jax.vmap(lambda z: unconstrain_fn(model, (), {}, z)))
    estimate = bridge_sampling(
        lambda z: potential_energy(model, (), {}, z), unconstrain(samples), key_bridge
    )
    covariance = np.eye(5) + 4.0
    exact = float(dist.MultivariateNormal(jnp.zeros(5), covariance).log_prob(y))
    assert abs(estimate.log_z - exact) < 5.5 * estimate.std_error < 0.15


def test_discrete_energies_take_a_proposal():
    field = jnp.array([1.0, -2.0, 0.5])
    energy = from_callable(lambda x: jnp.sum(field * x), (3,), constraints.boolean)
    draws = jax.random.bernoulli(KEY, jax.nn.sigmoid(-field), (2, 500, 3)).astype(float)
    proposal = dist.Bernoulli(0.5).expand((3,)).to_event(1)
    estimate = bridge_sampling(energy, draws, KEY, proposal=proposal)
    exact = float(jnp.sum(jax.nn.softplus(-field)))
    assert abs(estimate.log_z - exact) < 5.5 * estimate.std_error < 0.3


def test_laws_that_hardly_overlap_have_no_interval():
    far = GaussianMixture([0.5, 0.5], [[-40.0], [40.0]], np.full((2, 1, 1), 0.01))
    sign = jnp.where(jnp.arange(500) % 2 == 0, -40.0, 40.0)[None, :, None]
    draws = sign + 0.1 * jax.random.normal(KEY, (2, 500, 1))
    with pytest.warns(SmallSampleWarning, match="effective sample size"):
        estimate = bridge_sampling(far, draws, KEY)
    assert estimate.interval is None


def test_an_infinite_energy_at_proposals_counts_nothing():
    box = from_callable(lambda x: jnp.where(jnp.abs(x) < 1, 0.0, jnp.inf), ())
    draws = jax.random.uniform(KEY, (2, 1_000), minval=-1.0, maxval=1.0)
    estimate = bridge_sampling(box, draws, KEY)
    assert abs(estimate.log_z - np.log(2.0)) < 5.5 * estimate.std_error < 0.3


@pytest.mark.parametrize(
    ("draws", "message"),
    [
        (jnp.zeros((4, 7, 1)), r"at least 8 draws in a chain; got shapes \[\(4, 7, 1\)\]"),
        (jnp.zeros(10), r"got shapes \[\(10,\)\]"),
        (jnp.zeros((2, 20, 2)), r"`draws \(event axes\)` of shape \(1,\); got \(2,\)"),
        (jnp.zeros((2, 20, 1)), "`draws` must vary in every direction"),
        ({"a": jnp.zeros((2, 20)), "b": jnp.zeros((2, 21))}, "the same in every leaf"),
    ],
)
def test_refuses_draws_that_do_not_fit(draws, message):
    with pytest.raises(ValueError, match=message):
        bridge_sampling(Gaussian([0.0], [[1.0]]), draws, KEY)


def test_refuses_draws_where_there_is_no_density():
    box = from_callable(lambda x: jnp.where(jnp.abs(x) < 1, 0.0, jnp.inf), ())
    with pytest.raises(ebm.NonFiniteEnergyError, match="density is 0 or NaN at a draw"):
        bridge_sampling(box, 2.0 * jax.random.normal(KEY, (2, 50)), KEY)
    with pytest.raises(ValueError, match=r"Expected `proposal` of shape \(1,\); got \(\)"):
        bridge_sampling(
            Gaussian([0.0], [[1.0]]), jnp.zeros((2, 20, 1)), KEY, proposal=dist.Normal(0.0, 1.0)
        )
    draws = jax.random.normal(KEY, (2, 20, 1))
    with pytest.raises(ValueError, match="`num_proposal_draws` must be"):
        bridge_sampling(Gaussian([0.0], [[1.0]]), draws, KEY, num_proposal_draws=1)


def test_runs_of_one_target_are_compiled_once():
    traces = []

    def potential(z):
        traces.append(1)
        return 0.5 * z["a"] ** 2 + 0.5 * jnp.sum(z["b"] ** 2)

    for seed in range(2):
        keys = jax.random.split(jax.random.key(seed), 3)
        draws = {
            "a": jax.random.normal(keys[0], (2, 50)),
            "b": jax.random.normal(keys[1], (2, 50, 2, 2)),
        }
        estimate = bridge_sampling(potential, draws, keys[2])
        if seed == 0:
            first = len(traces)
        assert abs(estimate.log_z - 2.5 * np.log(2 * np.pi)) < 5.5 * estimate.std_error
    assert len(traces) == first


def test_draws_that_round_to_an_end_of_the_support_are_named():
    """At 1e6 floats are a sixteenth apart, so some of an interval's draws are its ends."""
    support = constraints.interval(1e6, 1e6 + 1.0)
    energy = from_callable(lambda x: 0.0 * x, (), support=support)
    draws = 1e6 + np.random.default_rng(0).uniform(size=(4, 100))
    with pytest.raises(
        ValueError, match=r"`draws` must be inside the support; .* by float32 .*x64"
    ):
        bridge_sampling(energy, draws, jax.random.key(0))


def test_the_root_is_found_beside_draws_of_any_energy() -> None:
    """A bracket that is 1e34 wide, as where a proposal draws far out of a target of small units."""
    target = -np.linspace(5.0, 5.6e4, 200).reshape(4, 50)
    proposal = np.append(-np.linspace(6e3, 1.4e5, 50), [-1e24, -1e26, -1e34])
    near = proposal[:-3]
    found = _solve(target, proposal, 2.0, len(proposal))
    # Draws of no weight count for their number alone.
    expected = _solve(target, near, 2.0, len(proposal)) + np.log(len(near) / len(proposal))
    np.testing.assert_allclose(found, expected, atol=1.0)
