"""What Langevin moves do beside their diffusion: gradients clipped, points in a box, and all of it told."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

import ebm_ppl as ebm
from ebm_ppl._precision import float64
from ebm_ppl.samplers import Langevin, Moves, RandomWalkMetropolis, Settings, WhitenedTarget

LOW, HIGH = -1.0, 1.5
KEY = jax.random.key(0)


def bowl(z: Any) -> Any:
    return jnp.sum(0.5 * z**2 + 0.3 * z)


def _move(kernel: Langevin, z: Any, noise: Any, step_size: float, scale: Any = 1.0) -> Any:
    """Where a move leads from `z`."""
    target = WhitenedTarget(bowl, z, jnp.broadcast_to(jnp.asarray(scale), z.shape))
    start = target.evaluate(jnp.zeros_like(z))
    return kernel.move(noise, target, start, (), Settings(jnp.asarray(step_size)))[0]


def _mean_in_the_box(step_size: float) -> float:
    """Mean of the stationary law: a density between the sides and an atom on each, by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    nodes = 0.5 * (HIGH + LOW) + 0.5 * (HIGH - LOW) * nodes
    weights = 0.5 * (HIGH - LOW) * weights
    points = np.concatenate([[LOW], nodes, [HIGH]])
    kernel = Langevin(potential_fn=bowl)
    without_noise = jax.vmap(lambda z: _move(kernel, z[None], jnp.zeros(1), step_size).z[0])
    law = scipy.stats.norm(
        np.asarray(without_noise(jnp.asarray(points)))[:, None], np.sqrt(2 * step_size)
    )
    moves = np.hstack([law.cdf(LOW), weights * law.pdf(nodes), law.sf(HIGH)])
    values, vectors = np.linalg.eig(moves.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    return float(stationary @ points / stationary.sum())


def test_in_a_box_small_steps_have_the_restricted_law_with_an_error_of_order_one_half():
    """A quarter of the step size leaves half of the error."""
    truth = scipy.stats.truncnorm(LOW + 0.3, HIGH + 0.3, loc=-0.3).mean()
    with float64():
        errors = [abs(_mean_in_the_box(step_size) - truth) for step_size in (4e-3, 1e-3)]
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_move_ends_in_the_box_and_is_evaluated_where_it_ends(scale):
    kernel = Langevin(potential_fn=bowl, box=(LOW, HIGH))
    z = jnp.array([1.4, -0.9, 0.1])
    end = _move(kernel, z, jnp.array([9.0, -9.0, 0.0]), 0.1, scale)
    inside = 0.1 - 0.1 * scale**2 * 0.4
    np.testing.assert_allclose(end.z, [HIGH, LOW, inside], rtol=1e-6)
    np.testing.assert_allclose(end.position, (end.z - z) / scale, rtol=1e-5)
    np.testing.assert_allclose(end.potential_energy, bowl(end.z), rtol=1e-6)
    np.testing.assert_allclose(end.z_grad, end.z + 0.3, rtol=1e-6)


def test_a_gradient_is_clipped_by_coordinate():
    kernel = Langevin(potential_fn=bowl, max_gradient=0.5)
    end = _move(kernel, jnp.array([4.0, -4.0, -0.1]), jnp.zeros(3), 0.1)
    np.testing.assert_allclose(end.z, [3.95, -3.95, -0.12], rtol=1e-6)


def test_claims_follow_the_settings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # these are asked for by name
        plain, clipped, boxed = (
            Langevin(potential_fn=bowl, **options)
            for options in ({}, {"max_gradient": 0.5}, {"box": (-1, 1)})
        )
    with pytest.warns(UserWarning, match="at the temperature T = 1.25e-06"):
        cold = Langevin(
            potential_fn=bowl, step_size=10.0, noise_scale=0.005, max_gradient=0.01, box=(0, 1)
        )
    assert cold.effective_temperature == pytest.approx(1.25e-6)
    assert [kernel.bias_order for kernel in (plain, clipped, boxed, cold)] == [1, None, None, None]
    assert not any(kernel.exact for kernel in (plain, clipped, boxed, cold))
    assert plain.invariant_law == "exp(-U)"
    assert boxed.invariant_law == "exp(-U), restricted to [-1, 1] in each coordinate"
    assert cold.invariant_law == (
        "exp(-U / T) at T = 1.25e-06, but of the drift of a gradient clipped at 0.01 by coordinate, "
        "restricted to [0, 1] in each coordinate"
    )
    text = cold.get_diagnostics_str(cold.init(KEY, 0, jnp.zeros(2)))
    assert text.endswith("temperature=1.25e-06. max. gradient=0.01. box=(0.0, 1.0)")


def test_a_temperature_of_one_up_to_rounding_is_the_targets():
    """0.1 and the root of 0.2, whose square is not 0.2 in any precision, leave the law as it is."""
    kernel = Langevin(potential_fn=bowl, step_size=0.1, noise_scale=0.2**0.5)
    assert kernel.effective_temperature != 1.0
    assert (kernel.bias_order, kernel.invariant_law) == (1, "exp(-U)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_gradient": 0.0}, "`max_gradient` must be a finite number above 0; got 0.0"),
        ({"box": (1.0, 1.0)}, r"`box` must be two finite numbers .*; got \(1\.0, 1\.0\)"),
        ({"box": (0.0, float("inf"))}, "`box` must be two finite numbers"),
        ({"box": (-1.0, 1.0), "dense_mass": True}, "`box` must be None with a dense mass matrix"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Langevin(potential_fn=bowl, **options)


def _shares(kernel: Any, num_steps: Any = 3) -> dict[str, float]:
    """Of moves on a slope of 2 and 0.5: the first coordinate falls, the second hardly moves."""
    moves = Moves(kernel, num_steps=num_steps)
    slope = jnp.array([2.0, 0.5])
    _, record = moves.run_recorded(lambda z: jnp.dot(slope, z), jnp.zeros(2), KEY)
    return {name: float(value) for name, value in record.items()}


@pytest.mark.parametrize("num_steps", [1, 3, lambda step: 3])
@pytest.mark.parametrize(("bound", "share"), [(1.0, 1.0), (3.0, 0.0)])
def test_shares_are_those_of_all_steps(num_steps, bound, share):
    """In steps of 0.04 the first coordinate is at the side of 0.1 in the third step at the latest."""
    kernel = functools.partial(Langevin, step_size=1.0, max_gradient=bound, box=(-0.1, 50.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel = functools.partial(kernel, noise_scale=1e-3)
        record = _shares(kernel, num_steps)
    assert record["clipped_moves"] == pytest.approx(share)
    assert record["at_box"] == pytest.approx(1.0)
    assert record["accept_prob"] == pytest.approx(1.0)


def test_turns_without_such_moves_do_not_count():
    kernel = functools.partial(Langevin, step_size=0.01, max_gradient=1.0)
    record = _shares((kernel, Moves(RandomWalkMetropolis, step_size=0.1)))
    assert record["clipped_moves"] == 1.0
    assert "at_box" not in record


@pytest.mark.filterwarnings("ignore:.noise_scale=")
def test_the_history_of_a_fit_has_temperature_and_shares():
    kernel = functools.partial(
        Langevin, step_size=10.0, noise_scale=0.005, max_gradient=0.01, box=(-1.0, 1.0)
    )
    fit = ebm.fit(
        ebm.energies.Gaussian(jnp.full(2, 3.0), jnp.eye(2)),
        jnp.array([[0.2, 0.9], [0.3, -0.8]]),
        ebm.ReplayBufferCD(kernel, num_steps=40, buffer_size=4, restart_fraction=0.0),
        optax.sgd(1e-3),
        num_steps=2,
        rng_key=KEY,
        progress_bar=False,
    )
    np.testing.assert_allclose(fit.history["temperature"], 1.25e-6, rtol=1e-5)
    np.testing.assert_array_equal(fit.history["clipped_moves"], 1.0)
    # Each move goes 0.1 towards (3, 3), so by the second step all chains are at the corner.
    assert fit.history["at_box"][1] > 0.5
