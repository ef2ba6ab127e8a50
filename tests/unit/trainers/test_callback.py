"""Callbacks look on: they see all of a fit, at the right steps, and change no bit of it."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import AffineEnergy, Ising, Quartic
from ebm_ppl.trainers import Callback
from tests.unit.trainers.resumable import NUM_STEPS, bits, run


@pytest.fixture(scope="module")
def undisturbed():
    return run()


def _watched(calls_every, *args, **settings):
    """A fit, and all that its callback was shown."""
    seen = []
    return run(*args, callback=Callback(seen.append, calls_every), **settings), seen


@pytest.mark.parametrize("every", [1, 7, 25, 1000])
def test_a_callback_changes_no_bit_and_comes_when_it_should(undisturbed, every):
    fit, seen = _watched(every)
    assert bits(fit) == bits(undisturbed)
    due = [step for step in range(1, NUM_STEPS) if step % every == 0]
    assert [now.step for now in seen] == [*due, NUM_STEPS]


def test_the_metrics_of_all_calls_are_the_history(undisturbed):
    _, seen = _watched(5)
    for name, values in undisturbed.history.items():
        parts = [now.metrics[name] for now in seen if name in now.metrics]
        np.testing.assert_array_equal(np.concatenate(parts), values, err_msg=name)
    for name, values in undisturbed.history.coords.items():
        parts = [now.metrics.coords[name] for now in seen if name in now.metrics.coords]
        np.testing.assert_array_equal(np.concatenate(parts), values, err_msg=name)


def test_it_is_shown_both_models_and_the_chains(undisturbed):
    _, seen = _watched(7)
    last, state = seen[-1], undisturbed.state
    assert last.model.energy.b == undisturbed.state.average.energy.b
    assert last.current.energy.b == state.model.energy.b != last.model.energy.b
    np.testing.assert_array_equal(last.chains, state.carried)
    assert not np.array_equal(seen[0].chains, last.chains)


def test_what_it_does_to_what_it_is_shown_stays_there(undisturbed):
    def scribble(now):
        for values in now.metrics.values():
            values[...] = -1.0

    assert bits(run(callback=Callback(scribble, 7))) == bits(undisturbed)


def test_what_it_raises_ends_the_fit_and_leaves_the_checkpoint(tmp_path, undisturbed):
    def stop(now):
        if now.step == 42:
            raise KeyboardInterrupt("enough")

    path = tmp_path / "fit.ckpt"
    with pytest.raises(KeyboardInterrupt, match="enough"):
        run(path, every=7, callback=Callback(stop, 6))
    fit, seen = _watched(6, path, every=7)
    assert bits(fit) == bits(undisturbed)
    # That of step 42 was written before the call at that step.
    assert [now.step for now in seen] == [48, 54, 60]
    np.testing.assert_array_equal(seen[0].metrics["loss"], undisturbed.history["loss"][42:48])


def test_a_fit_that_goes_on_shows_the_metrics_since_the_last_call(tmp_path, undisturbed):
    """The checkpoint is that of step 40, the call before it was at step 25."""
    path = tmp_path / "fit.ckpt"
    run(path, num_steps=40)
    _, [first, _] = _watched(25, path)
    assert first.step == 50
    np.testing.assert_array_equal(first.metrics["loss"], undisturbed.history["loss"][25:50])
    np.testing.assert_array_equal(first.metrics.coords["step"], np.arange(25, 50))


def test_a_fit_in_units_of_its_own_is_shown_in_those_of_the_data():
    data = 100.0 + 5.0 * jax.random.normal(jax.random.key(0), (64, 1))
    walk = functools.partial(ebm.RandomWalkMetropolis, step_size=1.0)
    seen = []
    fit = ebm.fit(
        ebm.energies.Gaussian(jnp.zeros(1), jnp.eye(1)),
        data,
        ebm.PersistentCD(walk, num_chains=32),
        optax.sgd(0.01),
        num_steps=2,
        rng_key=jax.random.key(1),
        standardise=True,
        callback=Callback(seen.append),
        progress_bar=False,
    )
    [now] = seen
    assert isinstance(now.model.energy, AffineEnergy)
    np.testing.assert_array_equal(now.model.energy(data[0]), fit.energy(data[0]))
    assert abs(now.chains.mean() - 100.0) < 10.0


@pytest.mark.parametrize(
    ("objective", "energy", "data", "shape"),
    [
        (
            ebm.ReplayBufferCD(num_steps=1, buffer_size=16),
            Quartic(),
            np.linspace(-1.0, 1.0, 8),
            (16,),
        ),
        (
            ebm.ReplicaExchangeCD((0.0, 0.5, 1.0), num_steps=1, num_chains=4),
            Ising((2, 2), 0.3, periodic=False),
            np.ones((8, 2, 2)),
            (4, 2, 2),
        ),
        (ebm.ScoreMatching(), Quartic(), np.linspace(-1.0, 1.0, 8), None),
    ],
    ids=["buffer", "replicas", "none"],
)
@pytest.mark.filterwarnings("ignore")
def test_chains_are_those_of_the_objective(objective, energy, data, shape):
    seen = []
    ebm.fit(
        energy,
        data,
        objective,
        optax.sgd(1e-3),
        num_steps=1,
        rng_key=jax.random.key(0),
        callback=Callback(seen.append),
        progress_bar=False,
    )
    assert (None if seen[0].chains is None else seen[0].chains.shape) == shape


def test_bad_settings_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(
        ValueError, match="`function` must be a function of a `FitProgress`; got 'p"
    ):
        Callback("print")
    with pytest.raises(ValueError, match="`every` must be an integer of at least 1; got 0"):
        Callback(print, 0)
