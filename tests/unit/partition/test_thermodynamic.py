"""Thermodynamic integration: the rule, exchanges that leave the joint law invariant, and log Z."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import split_gelman_rubin

import ebm_ppl as ebm
from ebm_ppl.annealing import GeometricPath, LinearPath
from ebm_ppl.energies import Gaussian, Quartic, RestrictedBoltzmannMachine, from_callable
from ebm_ppl.partition import (
    EnumerationNormalizer,
    SlowExchangeWarning,
    SlowMixingWarning,
    thermodynamic_integration,
)
from ebm_ppl.partition._kronrod import kronrod
from ebm_ppl.partition._ladders import LadderRun, exchange_neighbours, integrand, run_ladders
from ebm_ppl.partition._moves import CompensatedSum, moves_along

KEY = jax.random.key(0)
MACHINE = RestrictedBoltzmannMachine(
    1.5 * jax.random.normal(jax.random.key(1), (8, 4)), -0.5 * jnp.ones(8), jnp.zeros(4)
)


@pytest.mark.parametrize("num_panels", [1, 3])
@pytest.mark.parametrize("power", [1.0, 3.0])
def test_the_rules_integrate_polynomials(num_panels, power):
    nodes, fine, coarse = kronrod(num_panels, power)
    assert len(nodes) == 15 * num_panels
    assert np.all(np.diff(nodes) > 0)
    # In u the integrand is of degree p * (degree + 1) - 1: exact up to 22 and 13.
    for weights, highest in ((fine, 22), (coarse, 13)):
        for degree in range((highest + 1) // int(power)):
            assert weights @ nodes**degree == pytest.approx(1 / (degree + 1), rel=1e-12)


@pytest.mark.parametrize("parity", [0, 1])
def test_exchanges_leave_independent_draws_independent(parity):
    """Draws of each law stay draws of it: means of squares within 5.5 sigma, false alarms below 2e-7.

    A planted bug, an exchange whatever the weights, moves these means by a tenth and more.
    """
    path = GeometricPath(Gaussian([0.0], [[0.25]]), dist.Normal(0.0, 1.0).expand((1,)))
    ladder = jnp.array([0.1, 0.4, 0.8])
    variance = 1 / (1 + 3 * ladder)  # precisions add up along the path
    noise = jax.random.normal(KEY, (3, 40_000, 1))
    z = jnp.sqrt(variance)[:, None, None] * noise
    after, share = exchange_neighbours(path, ladder, z, jax.random.key(1), jnp.array(parity))
    assert float(share[parity]) > 0.5
    assert float(share[1 - parity]) == 0.0
    bound = 5.5 * np.sqrt(2 / 40_000)
    ratios = np.mean(np.asarray(after) ** 2, axis=(1, 2)) / np.asarray(variance)
    assert np.all(np.abs(ratios - 1) < bound)
    swapped = z[jnp.array([1, 0, 2] if parity == 0 else [0, 2, 1])]
    assert np.any(np.abs(np.mean(np.asarray(swapped) ** 2, axis=(1, 2)) / variance - 1) > bound)
    pairs = np.sort(np.asarray(after[..., 0]), axis=0)
    np.testing.assert_array_equal(pairs, np.sort(np.asarray(z[..., 0]), axis=0))


def test_the_integrand_is_the_slope_of_log_z():
    path = LinearPath.from_means(MACHINE, 0.3)
    states = jnp.array(np.stack(np.meshgrid(*[[0.0, 1.0]] * 8), -1).reshape(-1, 8))
    nodes = jnp.array([0.2, 0.9])
    values = integrand(path, nodes, jnp.stack([states, states]))
    for node, value in zip(nodes, values, strict=True):
        mass = jax.nn.softmax(-jax.vmap(path.at(node))(states))
        slope = jax.grad(lambda node: EnumerationNormalizer()(path.at(node)))(node)
        assert float(mass @ value) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.slow
def test_log_z_of_a_machine_and_a_ladder_whose_base_is_wrong():
    """Within 5.5 of its standard errors, on 63 degrees of freedom: false alarms below 1e-6."""
    estimate = thermodynamic_integration(MACHINE, KEY, num_ensembles=64, num_draws=300)
    exact = float(EnumerationNormalizer()(MACHINE))
    assert abs(estimate.log_z - exact) < 5.5 * estimate.std_error < 0.1
    low, high = estimate.interval
    assert low < estimate.log_z < high
    assert estimate.ess == 64
    assert estimate.diagnostics["exchange"].shape == (14,)
    assert estimate.diagnostics["exchange"].min() > 0.5
    assert np.std(estimate.diagnostics["ensembles"], ddof=1) / 8 == pytest.approx(
        estimate.std_error
    )
    assert abs(estimate.log_z - exact - 0.1) > 5.5 * estimate.std_error


@pytest.mark.slow
def test_log_z_of_a_quartic():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimate = thermodynamic_integration(Quartic(a=0.0, b=0.0), KEY)
    assert abs(estimate.log_z - np.log(2 * 0.9064024770554771)) < 5.5 * estimate.std_error < 0.2


@pytest.mark.slow
def test_a_torn_ladder_is_told_of():
    far = Gaussian(jnp.full(20, 30.0), jnp.eye(20) * 1e-2)
    with pytest.warns(SlowExchangeWarning, match="the ladder is torn"):
        thermodynamic_integration(far, KEY, num_draws=20, num_warmup=0, num_ensembles=2)


def test_r_hat_is_that_of_the_halves_of_all_chains():
    values = np.random.default_rng(0).normal(size=(3, 4, 50))  # by node, ensemble and draw
    values[1, 0] += 5.0
    halves = np.stack([values[..., :25], values[..., 25:]])
    run = LadderRun(
        CompensatedSum.zeros((3, 4)),
        jnp.zeros(2),
        jnp.asarray(halves.sum(-1)),
        jnp.asarray((halves**2).sum(-1)),
    )
    expected = [float(split_gelman_rubin(node)) for node in values]
    np.testing.assert_allclose(run.r_hat(50), expected, rtol=1e-5)
    assert np.argmax(run.r_hat(50)) == 1


def test_halves_of_a_run_make_up_its_sums():
    """All ensembles count from one origin, so that what is between them is not lost."""
    path = LinearPath.from_means(MACHINE, 0.3)
    run = run_ladders(
        path,
        moves_along(None, 1, path),
        jnp.array([0.2, 0.9]),
        None,
        KEY,
        4,
        num_draws=9,
        num_warmup=0,
    )
    origin = (run.total.in_float64 - np.sum(run.halves, axis=0)) / 9
    np.testing.assert_allclose(origin - origin[:, :1], 0.0, atol=1e-4)
    assert np.ptp(run.halves[0], axis=1).min() > 0


@pytest.mark.slow
def test_exchanges_are_counted_by_attempts():
    """Of five turns three are of the even pairs, and two of the odd ones."""
    level = RestrictedBoltzmannMachine(jnp.zeros((2, 1)), jnp.zeros(2), jnp.zeros(1))
    estimate = thermodynamic_integration(level, KEY, num_draws=5, num_warmup=0, num_ensembles=2)
    np.testing.assert_allclose(estimate.diagnostics["exchange"], 1.0)


@pytest.mark.slow
def test_chains_that_lag_are_told_of():
    """Where one direction is narrow at every temperature, one step size does not do for another."""
    uneven = Gaussian(jnp.zeros(2), jnp.diag(jnp.array([1e-6, 1.0])))
    base = dist.Normal(0.0, jnp.array([1e-3, 10.0])).to_event(1)
    with pytest.warns(SlowMixingWarning, match="R-hat of the integrand is up to"):
        estimate = thermodynamic_integration(uneven, KEY, base=base)
    assert estimate.diagnostics["r_hat"].max() > 1.1
    assert abs(estimate.log_z - np.log(2 * np.pi * 1e-3)) > 5


@pytest.mark.parametrize("outside", [jnp.inf, jnp.nan])
def test_refuses_a_base_that_reaches_beyond_the_target(outside):
    box = from_callable(lambda x: jnp.where(jnp.abs(x) < 1, 0.0, outside), ())
    with pytest.raises(ebm.NonFiniteEnergyError, match="would miss the jump"):
        thermodynamic_integration(box, KEY)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_ensembles": 1}, "`num_ensembles` must be an integer of at least 2; got 1"),
        ({"num_draws": 3}, "`num_draws` must be an integer of at least 4; got 3"),
        ({"num_warmup": -1}, "`num_warmup` must be an integer of at least 0; got -1"),
        ({"num_panels": 0}, "`num_panels` must be an integer of at least 1; got 0"),
        ({"power": 0.0}, "`power` must be a finite number above 0; got 0.0"),
        ({"level": 0.0}, "`level` must be"),
    ],
)
def test_refuses_arguments_outside_their_bounds(argument, message):
    with pytest.raises(ValueError, match=message):
        thermodynamic_integration(MACHINE, KEY, **argument)
