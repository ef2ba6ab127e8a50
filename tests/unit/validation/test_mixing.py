"""The mixing verdict passes what mixes and is not blind where the usual diagnostics are."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy import signal, stats

from ebm_ppl.energies import TiltedDoubleWell
from ebm_ppl.quadrature import normalize
from ebm_ppl.validation import controls
from ebm_ppl.validation.checks import agreement
from ebm_ppl.validation.checks.error_rates import bonferroni
from ebm_ppl.validation.checks.mixing import degenerate, is_slow, mixing
from ebm_ppl.validation.diagnostics import convergence
from ebm_ppl.validation.results import Verdict
from ebm_ppl.validation.subjects import built_in
from ebm_ppl.validation.suite.kernel_jobs import kernel_job

CHAINS, SAMPLES = 4, 1000


@pytest.fixture(scope="module")
def density():
    return normalize(TiltedDoubleWell(dim=1, barrier_height=4.0))


@pytest.fixture(scope="module")
def exact(density):
    draws = density.sample(jax.random.key(0), (CHAINS, SAMPLES))
    return np.asarray(draws)


def _judge(draws, density):
    flat = draws.reshape(-1, 1)
    finite = np.where(np.isfinite(flat), flat, 0.0)
    u = density.cdf(finite).reshape(*draws.shape[:2], 1)
    energies = -density.log_density(finite).reshape(draws.shape[:2])
    return mixing(draws, energies, density, u)


def test_independent_draws_pass(exact, density):
    result = _judge(exact, density)
    assert result.verdict is Verdict.PASS
    assert result.components["rhat"] < 1.01
    assert "share of mode 0" in " ".join(result.components)


def test_autocorrelated_draws_of_the_target_pass(density):
    """Stay with probability 0.8: four fifths of the draws are repeats, and the law is right."""
    rng = np.random.default_rng(0)
    fresh = np.asarray(density.sample(jax.random.key(1), (CHAINS, 8 * SAMPLES)))
    stay = rng.uniform(size=fresh.shape[:2]) < 0.8
    stay[:, 0] = False
    last = np.maximum.accumulate(np.where(stay, 0, np.arange(fresh.shape[1])), axis=1)
    draws = np.take_along_axis(fresh, last[..., None], axis=1)
    result = _judge(draws, density)
    assert result.verdict is Verdict.PASS
    assert result.components["thinning lag"] > 10


def _autoregressive(density, rng, num_chains, num_samples, persistence):
    """Exact draws whose normal scores follow an autoregression."""
    noise = rng.normal(size=(num_chains, num_samples)) * np.sqrt(1 - persistence**2)
    noise[:, 0] /= np.sqrt(1 - persistence**2)
    scores = signal.lfilter([1.0], [1.0, -persistence], noise, axis=1)
    u = np.clip(stats.norm.cdf(scores), 1e-12, 1 - 1e-12)[..., None]
    draws = density.quantile(u.reshape(-1)).reshape(u.shape)
    return draws, u


def _p_values(density, count, seed, tests_of):
    rng = np.random.default_rng(seed)
    return np.array([tests_of(*_autoregressive(density, rng, 8, 2000, 0.9)) for _ in range(count)])


@pytest.mark.slow
def test_the_verdict_does_not_alarm_on_autocorrelated_draws(density):
    """At a level of 1% a thousand right runs are rejected 40 times with probability 1e-12."""

    def as_it_is(draws, u):
        summaries = [convergence(draws[:, :, 0])]
        return bonferroni(agreement.with_density(draws, density, u, summaries)[0])

    assert np.sum(_p_values(density, 1000, 11, as_it_is) < 0.01) < 40


@pytest.mark.parametrize("bug", ["no thinning", "p-values with n for the effective size"])
def test_a_verdict_that_ignores_autocorrelation_alarms(density, bug, monkeypatch):
    """The planted bugs: every draw counts as independent."""

    def every_draw(values):
        return dataclasses.replace(
            convergence(values), mcse_mean=float(np.std(values) / np.sqrt(values.size))
        )

    if bug == "no thinning":
        monkeypatch.setattr(agreement, "thinning_lag", lambda *_: 1)
    else:
        monkeypatch.setattr(agreement, "convergence", every_draw)

    def broken(draws, u):
        summaries = [convergence(draws[:, :, 0])]
        return bonferroni(agreement.with_density(draws, density, u, summaries)[0])

    assert np.sum(_p_values(density, 20, 12, broken) < 0.01) > 10


@pytest.mark.parametrize("name", ["Barker's acceptance", "honest laziness"])
def test_what_is_right_and_slow_mixes(name):
    """Each takes up to five times as many steps as the kernel that it is a variant of."""
    control = controls.discover()[name]
    rows = []
    case = dataclasses.replace(control.case, name=name)
    kernel_job(built_in()[control.target], case, 0, num_chains=10_000).run(rows.append)
    assert [row.result.verdict for row in rows] == [Verdict.PASS] * 3


def test_only_what_nearly_mixes_is_slow(exact, density):
    apart = exact + np.array([0.0, 0.0, 0.0, 3.0])[:, None, None]
    assert not is_slow(_judge(apart, density))
    assert not is_slow(_judge(exact, density))
    assert not is_slow(_judge(np.repeat(exact[:1], CHAINS, axis=0), density))


def _identical_chains(exact, rng):
    return np.repeat(exact[:1], CHAINS, axis=0)


def _constant_chains(exact, rng):
    return np.repeat(exact[:, :1], SAMPLES, axis=1)


def _one_constant_chain(exact, rng):
    draws = exact.copy()
    draws[2] = draws[2, 0]
    return draws


def _stuck_half_way(exact, rng):
    draws = exact.copy()
    draws[1, SAMPLES // 2 :] = draws[1, SAMPLES // 2]
    return draws


def _one_infinite_draw(exact, rng):
    draws = exact.copy()
    draws[0, 17] = np.inf
    return draws


def _all_in_one_mode(exact, rng):
    left = exact[exact < 0]
    return rng.choice(left, size=exact.shape)


def _one_chain_in_another_mode(exact, rng):
    draws = rng.choice(exact[exact < 0], size=exact.shape)
    draws[3] = rng.choice(exact[exact > 0], size=draws[3].shape)
    return draws


def _modes_swapped(exact, rng):
    return -exact


def _wrong_mode_shares(exact, rng):
    half = rng.uniform(size=exact.shape) < 0.5
    return np.where(
        half, rng.choice(exact[exact < 0], exact.shape), rng.choice(exact[exact > 0], exact.shape)
    )


def _too_wide(exact, rng):
    return exact * 1.2


def _random_walks(exact, rng):
    return 0.1 * np.cumsum(rng.normal(size=exact.shape), axis=1)


PLANTED = [
    _identical_chains,
    _constant_chains,
    _one_constant_chain,
    _stuck_half_way,
    _one_infinite_draw,
    _all_in_one_mode,
    _one_chain_in_another_mode,
    _modes_swapped,
    _wrong_mode_shares,
    _too_wide,
    _random_walks,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_what_diagnostics_are_blind_to_does_not_pass(plant, exact, density):
    result = _judge(plant(exact, np.random.default_rng(1)), density)
    assert result.verdict is Verdict.FAIL
    assert result.detail


def test_the_copies_are_named(exact):
    copies = np.repeat(exact[:1], CHAINS, axis=0)
    assert "copies of each other" in degenerate(copies, np.zeros(copies.shape[:2]))[0]


def test_without_truth_only_the_chains_are_compared(exact):
    result = mixing(exact, exact[..., 0] ** 2, None, None)
    assert result.verdict is Verdict.PASS
    assert result.p_value is None
    assert result.false_alarm_rate == 0.0
    assert "no ground truth" in result.detectable
