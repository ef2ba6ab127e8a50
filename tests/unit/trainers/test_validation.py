"""Evaluation on held-out data: by what, when, with which draws; and stopping early at the best."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian
from ebm_ppl.trainers import Prepared, Validation, polyak_averaging
from tests.unit.trainers.pull import START, Pull, descent

DATA = jnp.array([1.0, 2.0, 3.0, 6.0])
HELD_OUT = jnp.array([0.5, 1.5])
RATE = 0.1
OPTIMIZER = optax.sgd(RATE)


def _fit(objective, num_steps, data=DATA, **settings):
    given = {"rng_key": jax.random.key(0), "progress_bar": False} | settings
    return ebm.fit(START, data, objective, OPTIMIZER, num_steps=num_steps, **given)


def _loss_at(b, points=HELD_OUT):
    return 0.5 * np.mean((np.asarray(b)[..., None] - np.asarray(points)) ** 2, axis=-1)


def test_the_evaluations_are_the_losses_of_the_held_out_data():
    fit = _fit(Pull(), 23, validation=Validation(data=HELD_OUT, every=5))
    b = descent([RATE] * 23, 3.0)
    np.testing.assert_allclose(fit.history["validation"], _loss_at(b[[4, 9, 14, 19]]), rtol=1e-5)
    assert fit.history.coords["evaluation_step"].tolist() == [5, 10, 15, 20]
    assert fit.data.num_examples == len(DATA)
    np.testing.assert_allclose(fit.energy.b, b[-1], rtol=1e-6)  # no patience: the last ones
    assert not fit.stopped_early


def test_a_fraction_is_held_out_and_not_learned_from():
    data = jnp.arange(20.0)
    fit = _fit(Pull(), 200, data, validation=Validation(fraction=0.25, every=200))
    assert fit.data.num_examples == 15
    held_out = np.setdiff1d(data, fit.data.x)
    assert len(held_out) == 5
    np.testing.assert_allclose(fit.energy.b, np.mean(np.asarray(fit.data.x)), rtol=1e-5)
    np.testing.assert_allclose(
        fit.history["validation"], [_loss_at(fit.energy.b, held_out)], rtol=1e-5
    )


def test_early_stopping_returns_the_best():
    """From 0 towards 3, past the held-out mean of 1: the best evaluation is on the way."""
    fit = _fit(Pull(), 1000, validation=Validation(data=HELD_OUT, every=1, patience=7))
    b = descent([RATE] * 1000, 3.0)
    best = int(np.argmin(_loss_at(b)))
    np.testing.assert_allclose(fit.energy.b, b[best], rtol=1e-6)
    assert fit.stopped_early
    assert int(fit.state.step) == len(fit.history["loss"]) == best + 1 + 7
    np.testing.assert_allclose(fit.state.model.energy.b, b[best + 7], rtol=1e-6)


def test_patience_that_is_not_used_up_returns_the_best_all_the_same():
    fit = _fit(Pull(), 10, validation=Validation(data=HELD_OUT, every=1, patience=100))
    b = descent([RATE] * 10, 3.0)
    np.testing.assert_allclose(fit.energy.b, b[np.argmin(_loss_at(b))], rtol=1e-6)
    assert not fit.stopped_early


def test_the_average_is_evaluated_and_returned_if_there_is_one():
    validation = Validation(data=HELD_OUT, every=1, patience=3)
    fit = _fit(Pull(), 100, validation=validation, ema_decay=polyak_averaging(0))
    average = np.cumsum(descent([RATE] * 100, 3.0)) / np.arange(1, 101)
    count = len(fit.history["validation"])
    np.testing.assert_allclose(fit.history["validation"], _loss_at(average[:count]), rtol=1e-4)
    np.testing.assert_allclose(fit.energy.b, average[np.argmin(_loss_at(average))], rtol=1e-5)


class Noisy(Pull):
    """A loss with fresh noise in each step, and a metric that tells it."""

    def prepare(self, model, batch, carried, step, rng_key):
        noise = jax.random.normal(rng_key, batch.x.shape)
        return Prepared(noise, carried, {"noise": noise[0]})

    def losses(self, model, batch, sample):
        # The parameters do not change, so all that could change between evaluations is the noise.
        return sample + 0 * super().losses(model, batch, None)


def test_every_evaluation_has_the_same_draws():
    fit = _fit(Noisy(), 12, validation=Validation(data=HELD_OUT, every=3))
    assert len(np.unique(fit.history["noise"])) == 12
    assert len(fit.history["validation"]) == 4
    assert len(np.unique(fit.history["validation"])) == 1
    assert fit.history["validation"][0] != 0.0


class Annealed(Pull):
    """A loss that falls by its schedule alone."""

    def prepare(self, model, batch, carried, step, rng_key):
        return Prepared(1.0 / (1.0 + step), carried, {})

    def losses(self, model, batch, sample):
        return sample + 0 * super().losses(model, batch, None)


def test_a_schedule_is_no_improvement():
    fit = _fit(Annealed(), 12, validation=Validation(data=HELD_OUT, every=3))
    assert len(np.unique(fit.history["loss"])) == 12
    np.testing.assert_allclose(fit.history["validation"], 1 / 13, rtol=1e-6)


class NoCriterion(Pull):
    is_criterion = False


def test_a_loss_that_measures_no_quality_needs_a_metric():
    validation = Validation(data=HELD_OUT, every=5)
    with pytest.raises(
        ValueError, match="`metric` must be given with NoCriterion, whose loss does"
    ):
        _fit(NoCriterion(), 10, validation=validation)
    with pytest.raises(
        ValueError, match="`metric` must be given with ContrastiveDivergence, whose"
    ):
        _fit(ebm.ContrastiveDivergence(), 10, validation=validation)

    def metric(model, held_out):
        return jnp.sum(held_out.x) * model.energy.b

    fit = _fit(NoCriterion(), 10, validation=Validation(data=HELD_OUT, every=5, metric=metric))
    b = descent([RATE] * 10, 3.0)
    np.testing.assert_allclose(fit.history["validation"], 2.0 * b[[4, 9]], rtol=1e-6)


def test_a_metric_that_is_never_finite_chooses_nothing():
    validation = Validation(
        data=HELD_OUT, every=1, patience=3, metric=lambda model, held_out: math.nan
    )
    with pytest.warns(RuntimeWarning, match="20 of 20 evaluations .* the validation chose nothing"):
        fit = _fit(Pull(), 20, validation=validation)
    assert np.isnan(fit.history["validation"]).all()
    assert int(fit.state.step) == 20  # what compares with nothing stops nothing
    np.testing.assert_allclose(fit.energy.b, descent([RATE] * 20, 3.0)[-1], rtol=1e-6)


def test_a_metric_must_be_a_scalar():
    validation = Validation(data=HELD_OUT, every=1, metric=lambda model, held_out: held_out.x)
    with pytest.raises(ValueError, match=r"`metric\(model, held_out\)` of shape \(\); got \(2,\)"):
        _fit(Pull(), 3, validation=validation)


def test_held_out_conditions():
    energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
    x = jnp.linspace(-1.0, 1.0, 6)[:, None]

    def metric(model, held_out):
        return jnp.sum(held_out.condition.y)

    settings = {"rng_key": jax.random.key(0), "num_steps": 2, "progress_bar": False}
    validation = Validation(data=x[:2], condition=x[:2] + 5.0, every=1, metric=metric)
    fit = ebm.fit(
        energy, x, ebm.ScoreMatching(), OPTIMIZER, condition=x, validation=validation, **settings
    )
    np.testing.assert_allclose(fit.history["validation"], float(jnp.sum(x[:2] + 5.0)), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Exactly one of `fraction` and `data` must be given; got neither"),
        ({"fraction": 0.1, "data": [1.0]}, "Exactly one of `fraction` and `data` .*; got both"),
        ({"fraction": 0.0}, r"`fraction` must be a number in \(0\.0, 1\.0\); got 0\.0"),
        ({"fraction": 1.0}, r"`fraction` must be a number in \(0\.0, 1\.0\); got 1\.0"),
        ({"fraction": math.nan}, r"`fraction` must be a number in .*; got nan"),
        ({"fraction": 0.1, "condition": [1.0]}, "`condition` must be None where `fraction` is"),
        ({"fraction": 0.1, "every": 0}, "`every` must be an integer of at least 1; got 0"),
        ({"fraction": 0.1, "patience": 0}, "`patience` must be an integer of at least 1; got 0"),
    ],
)
def test_bad_settings_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Validation(**arguments)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (
            Validation(data=HELD_OUT, every=11),
            "`every` must be at most the number of steps, 10, .* 11",
        ),
        (Validation(data=[[1.0]]), r"Expected `data` of shape \(num_examples\); got \(1, 1\)"),
        (Validation(fraction=0.9), "`fraction` must leave examples to learn from; got 0.9 of 4"),
    ],
)
def test_settings_that_do_not_fit_the_fit_are_refused(validation, message):
    with pytest.raises(ValueError, match=message):
        _fit(Pull(), 10, validation=validation)
