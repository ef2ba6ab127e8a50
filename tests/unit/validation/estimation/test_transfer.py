"""Transfer operators: reversibility, invariant laws, and the package's own kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl import samplers
from ebm_ppl._precision import float64
from ebm_ppl.validation.estimation import (
    GAUSSIAN,
    QUARTIC,
    Mala,
    RandomWalk,
    UnadjustedLangevin,
    line,
)
from tests.unit.validation.estimation.toy import NODES, TILTED

EXACT = {
    "MALA": (Mala(0.05), samplers.MALA, 0.05),
    "random walk": (RandomWalk(1.5), samplers.RandomWalkMetropolis, 1.5),
}
every_exact = pytest.mark.parametrize(("kernel", "ours", "step_size"), EXACT.values(), ids=EXACT)


@every_exact
def test_exact_kernels_are_reversible_on_the_nodes(kernel, ours, step_size):
    matrix = kernel.matrix(QUARTIC, TILTED, NODES)
    flow = QUARTIC.law(TILTED, NODES).mass[:, None] * matrix
    np.testing.assert_allclose(np.sum(matrix, axis=1), 1.0, atol=1e-14)
    np.testing.assert_allclose(flow, flow.T, atol=1e-16)
    assert np.min(matrix) > -1e-12


@every_exact
def test_they_are_the_operators_of_the_package_s_kernels(kernel, ours, step_size):
    """Expectation of the statistics after one step, by quadrature over the kernel's noise."""

    def energy(z):
        return jnp.sum(TILTED[0] * z**2 + TILTED[1] * z + TILTED[2] * z**4)

    questioned = ours(potential_fn=energy)
    noise = np.linspace(-9.0, 9.0, 4001)
    mass = np.exp(-(noise**2) / 2)
    mass /= np.sum(mass)

    def after_step(position):
        target = samplers.WhitenedTarget(energy, jnp.zeros(1), jnp.ones(1))
        start = target.evaluate(position)

        def image(xi):
            end = target.evaluate(questioned.propose(xi, start, step))
            log_accept = questioned.log_acceptance(start, end, step)
            return end.position[0], jnp.exp(jnp.minimum(log_accept, 0.0))

        return jax.vmap(image)(jnp.asarray(noise)[:, None])

    nodes = line(6.0, 0.01)
    statistics = QUARTIC.statistics(nodes)
    expected = kernel.matrix(QUARTIC, TILTED, nodes) @ statistics
    starts = np.searchsorted(nodes, [-2.5, -0.4, 0.9, 2.0])
    with float64():
        step = jnp.asarray(step_size)
        ends, accepted = jax.jit(jax.vmap(after_step))(jnp.asarray(nodes[starts])[:, None])
    for row, end, accept in zip(starts, np.asarray(ends), np.asarray(accepted), strict=True):
        moved = (mass * accept) @ QUARTIC.statistics(end)
        stayed = (1 - mass @ accept) * statistics[row]
        np.testing.assert_allclose(moved + stayed, expected[row], rtol=1e-4, atol=1e-4)


def test_langevin_of_a_gaussian_has_a_known_equilibrium():
    # x' = (1 - e) x + sqrt(2 e) xi has variance 2 e / (1 - (1 - e)²) = 1 / (1 - e / 2).
    kernel, nodes = UnadjustedLangevin(0.2), line(9.0, 0.05)
    theta = np.array([0.5, -1.0])
    law = kernel.stationary(GAUSSIAN, theta, nodes)
    mean = law.mean(nodes)
    assert np.sum(law.mass) == pytest.approx(1.0, abs=1e-12)
    assert mean == pytest.approx(1.0, abs=1e-10)
    assert law.mean((nodes - mean) ** 2) == pytest.approx(1 / 0.9, abs=1e-10)
    after = kernel.matrix(GAUSSIAN, theta, nodes).T @ law.mass
    np.testing.assert_allclose(after, law.mass, atol=1e-15)


def test_nodes_too_coarse_for_a_step_are_refused():
    with pytest.raises(ValueError, match=r"`nodes` must be at most 0\.02 apart"):
        Mala(0.0002).matrix(QUARTIC, TILTED, NODES)
