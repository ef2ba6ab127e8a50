"""The record of a fit: one value a step, whatever the chunks, in a form that xarray takes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.trainers import History, Validation
from ebm_ppl.trainers._history import Recorder
from ebm_ppl.trainers._loop import CHUNK
from tests.unit.trainers.pull import START, Pull, descent

DATA = jnp.array([1.0, 2.0, 3.0, 6.0])


def _fit(**settings):
    given = {"rng_key": jax.random.key(0), "progress_bar": False} | settings
    return ebm.fit(START, DATA, Pull(), optax.sgd(1e-3), **given)


def test_every_step_is_recorded_once_over_several_chunks():
    num_steps = 2 * CHUNK + 7
    history = _fit(num_steps=num_steps).history
    assert list(history) == ["gradient_norm", "loss", "refused"]
    b = np.array([0.0, *descent([1e-3] * num_steps, 3.0)[:-1]])
    losses = 0.5 * np.mean((b[:, None] - np.asarray(DATA)) ** 2, axis=1)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-4)
    np.testing.assert_allclose(history["gradient_norm"], np.abs(b - 3.0), rtol=1e-3)
    assert not history["refused"].any()
    np.testing.assert_array_equal(history.coords["step"], np.arange(num_steps))


def test_it_is_a_mapping_that_xarray_takes():
    validation = Validation(data=DATA + 1.0, every=4)
    history = _fit(num_steps=10, validation=validation).history
    dataset = history.to_xarray()
    assert dict(dataset.sizes) == {"step": 10, "evaluation_step": 2}
    assert dataset["evaluation_step"].values.tolist() == [4, 8]
    for name in history:
        np.testing.assert_array_equal(dataset[name].values, history[name])
    assert set(dict(history)) == {"loss", "gradient_norm", "refused", "validation"}
    assert len(history) == 4
    assert "energy_gap" not in history
    with pytest.raises(KeyError):
        history["energy_gap"]
    assert repr(history) == f"History({', '.join(history)}; 10 steps)"


def test_without_evaluations_there_is_no_axis_for_them():
    assert set(History({"loss": np.zeros(3)}).coords) == {"step"}
    assert History({}).to_xarray().sizes["step"] == 0


def test_a_recorder_is_written_down_and_read_back():
    recorder = Recorder()
    recorder.add_steps({"loss": jnp.arange(5.0), "a/steps/b": jnp.arange(5)}, 3)
    recorder.add_evaluation(2, 0.1)
    recorder.add_steps({"loss": jnp.arange(5.0), "a/steps/b": jnp.arange(5)}, 2)
    again = Recorder.from_arrays(recorder.to_arrays())
    for recorded in (recorder, again):
        recorded.add_steps({"loss": jnp.full(5, 9.0), "a/steps/b": jnp.full(5, 9)}, 1)
        recorded.add_evaluation(6, -0.5)
    first, second = recorder.history(), again.history()
    assert first["loss"].tolist() == second["loss"].tolist() == [0.0, 1.0, 2.0, 0.0, 1.0, 9.0]
    assert first["a/steps/b"].tolist() == second["a/steps/b"].tolist() == [0, 1, 2, 0, 1, 9]
    assert first["a/steps/b"].dtype == second["a/steps/b"].dtype
    assert first["validation"].tolist() == second["validation"].tolist() == [0.1, -0.5]
    assert second.coords["evaluation_step"].tolist() == [2, 6]


def test_a_short_chunk_does_not_keep_its_long_buffer():
    recorder = Recorder()
    kept = recorder.add_steps({"loss": jnp.zeros(CHUNK)}, 1)["loss"]
    assert kept.base is None
    assert kept.nbytes == 4
