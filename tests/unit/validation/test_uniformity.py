"""Every test of uniformity: right false-alarm rate, and a departure that it must see."""

import numpy as np
import pytest
from scipy import stats

from ebm_ppl.validation.checks import uniformity

NUM_REPLICATIONS = 500
NUM_DRAWS = 2000
LEVEL = 1e-8
"""False-alarm rate of the test that p-values are uniform; it sees p-values halved with 99% power."""


def _start(rng):
    return rng.uniform(size=(NUM_DRAWS, 1))


def _correct_move(rng, start):
    """Stay with probability a half, else draw afresh: leaves the uniform law invariant."""
    return np.where(rng.uniform(size=start.shape) < 0.5, start, rng.uniform(size=start.shape))


def _components(u):
    return uniformity.legendre_components(u)


NULL = {
    "Kolmogorov-Smirnov": lambda rng: uniformity.kolmogorov_smirnov(_start(rng)[:, 0]),
    "Neyman smooth": lambda rng: uniformity.neyman_smooth(_components(_start(rng))),
    "Neyman smooth in 2-D": lambda rng: uniformity.neyman_smooth(
        _components(rng.uniform(size=(NUM_DRAWS, 2)))
    ),
    "paired change": lambda rng: _paired(rng, _correct_move),
    "energy sign": lambda rng: uniformity.energy_sign(rng.normal(size=NUM_DRAWS)),
    "acceptance martingale": lambda rng: _acceptance(rng, 1.0),
    "neighbour independence": lambda rng: uniformity.neighbour_independence(
        rng.normal(size=NUM_DRAWS)
    ),
    "heterogeneity": lambda rng: _heterogeneity(rng, 0.0),
}


def _heterogeneity(rng, share_stuck):
    """Chains that move with a probability that depends on their place, but for some that never do."""
    u = rng.uniform(size=(20_000, 1))
    stuck = rng.uniform(size=len(u)) < share_stuck
    accepts = rng.uniform(size=(2, len(u))) < 0.2 + 0.6 * u[:, 0]
    return uniformity.heterogeneity(accepts & ~stuck, u)


def _paired(rng, move):
    start = _start(rng)
    return uniformity.paired_change(_components(move(rng, start)) - _components(start))


def _acceptance(rng, honesty):
    reported = rng.uniform(size=(3, NUM_DRAWS))
    return uniformity.acceptance_martingale(
        rng.uniform(size=(3, NUM_DRAWS)) < honesty * reported, reported
    )


def _shared_noise(rng):
    scores = rng.normal(size=NUM_DRAWS)
    scores[1::2] = 0.3 * scores[::2] + np.sqrt(1 - 0.09) * scores[1::2]
    return uniformity.neighbour_independence(scores)


PLANTED = {
    "Kolmogorov-Smirnov": lambda rng: uniformity.kolmogorov_smirnov(rng.beta(1.3, 1.0, NUM_DRAWS)),
    "Neyman smooth": lambda rng: uniformity.neyman_smooth(
        _components(rng.beta(1.0, 1.25, (NUM_DRAWS, 1)))
    ),
    "Neyman smooth in 2-D": lambda rng: uniformity.neyman_smooth(_components(_dependent_pair(rng))),
    "paired change": lambda rng: _paired(rng, lambda r, start: start**1.05),
    "energy sign": lambda rng: uniformity.energy_sign(rng.normal(size=NUM_DRAWS) + 0.25),
    "acceptance martingale": lambda rng: _acceptance(rng, 0.85),
    "neighbour independence": _shared_noise,
    "heterogeneity": lambda rng: _heterogeneity(rng, 0.15),
}


def _dependent_pair(rng):
    normal = rng.multivariate_normal([0, 0], [[1.0, 0.25], [0.25, 1.0]], size=NUM_DRAWS)
    return stats.norm.cdf(normal)


@pytest.mark.parametrize("name", NULL)
def test_p_values_are_uniform_when_nothing_is_wrong(name):
    rng = np.random.default_rng(2)
    p_values = [NULL[name](rng) for _ in range(NUM_REPLICATIONS)]
    # the sign test is discrete: ties make its p-values a little too large, never too small
    alternative = "greater" if name == "energy sign" else "two-sided"
    assert stats.kstest(p_values, "uniform", alternative=alternative).pvalue > LEVEL
    assert stats.kstest(np.array(p_values) / 2, "uniform", alternative=alternative).pvalue < LEVEL


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_departure_is_seen(name):
    rng = np.random.default_rng(3)
    assert np.median([PLANTED[name](rng) for _ in range(20)]) < 1e-6


def test_components_are_orthonormal():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    u = np.stack(np.meshgrid((nodes + 1) / 2, (nodes + 1) / 2, indexing="ij"), -1).reshape(-1, 2)
    components = uniformity.legendre_components(u)
    gram = (components * np.outer(weights, weights).reshape(-1, 1) / 4).T @ components
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)


def test_two_coordinates_add_their_products():
    assert uniformity.legendre_components(np.full((1, 1), 0.3)).shape == (1, 6)
    assert uniformity.legendre_components(np.full((1, 2), 0.3)).shape == (1, 18)


def test_chains_that_never_move_are_no_change():
    assert uniformity.paired_change(np.zeros((100, 6))) == 1.0
    assert uniformity.energy_sign(np.zeros(100)) == 1.0


def test_a_stuck_chain_that_reports_acceptance_is_certain():
    moved = np.zeros((2, 50), dtype=bool)
    assert uniformity.acceptance_martingale(moved, np.ones((2, 50))) == 0.0
    assert uniformity.acceptance_martingale(~moved, np.ones((2, 50))) == 1.0


def test_rare_refusals_are_no_surprise():
    """Chains that accept all but certainly: nothing happens in most runs, one refusal in a few.

    With a normal law each refusal, and each run without any, would be beyond all doubt.
    """
    rng = np.random.default_rng(5)
    reported = 1 - 10 ** rng.uniform(-8, -5, size=(1, 20_000))
    for moved in (np.ones((1, 20_000), dtype=bool), np.arange(20_000)[None] != 7):
        p_values = uniformity.acceptance_tests(moved, reported)
        assert min(p_values.values()) > 0.01
    hidden = rng.uniform(size=(1, 20_000)) < reported - 0.003
    assert uniformity.acceptance_martingale(hidden, reported) < 1e-9


def test_identical_scores_are_unjudged_and_copied_ones_rejected():
    assert uniformity.neighbour_independence(np.zeros(10)) == 1.0
    assert uniformity.neighbour_independence(np.full(1001, 0.1)) == 1.0
    copied = np.repeat(np.random.default_rng(0).normal(size=500), 2)
    assert uniformity.neighbour_independence(copied) < 1e-20
