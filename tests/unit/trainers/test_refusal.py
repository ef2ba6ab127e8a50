"""A step of which anything is not finite changes nothing, is counted, and too many stop the fit by name."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import ebm_ppl as ebm
from ebm_ppl.energies import Quartic
from ebm_ppl.trainers import AbstractObjective, Prepared, Trainer, as_batch, energies_of

DATA = jnp.linspace(-1.0, 2.0, 6)
ENERGY = Quartic(a=0.5, b=0.3, gamma=-1.0)
KEY = jax.random.key(0)
MOMENTUM = optax.sgd(0.01, momentum=0.9)


PLACES = ("nowhere", "draws", "loss", "gradient", "carried")
NEVER = (-1,) * 10


class Planted(AbstractObjective):
    """The energy of the data, with something not finite at some steps and in one place.

    Place, steps and value are arrays, so that all of them share one compiled program.
    """

    consistent, is_criterion = False, True

    place: Array
    bad_steps: Array
    bad: Array

    def __init__(self, place="nowhere", bad_steps=(), bad=float("nan")):
        self.place = jnp.asarray(PLACES.index(place), dtype=int)
        self.bad_steps = jnp.asarray((*bad_steps, *NEVER)[: len(NEVER)], dtype=int)
        self.bad = jnp.asarray(bad, dtype=float)

    def init(self, energy, data, rng_key):
        return None, {"chains": jnp.arange(3.0), "key": rng_key, "count": jnp.asarray(0)}

    def prepare(self, model, batch, carried, step, rng_key):
        is_bad = jnp.any(step == self.bad_steps)
        here = {name: is_bad & (self.place == number) for number, name in enumerate(PLACES)}
        sample = {
            "weight": jnp.where(here["draws"], self.bad, 1.0),
            # What makes a loss or a gradient bad is finite itself.
            "flags": jnp.stack([here["loss"], here["gradient"]]),
        }
        new = {
            "chains": carried["chains"] + jnp.where(here["carried"], self.bad, 1.0),
            "key": jax.random.split(carried["key"])[0],
            "count": carried["count"] + 1,
        }
        return Prepared(sample, new, {"seen": carried["count"].astype(float)})

    def losses(self, model, batch, sample):
        energies = energies_of(model.energy, batch) * sample["weight"]
        bad_loss, bad_gradient = sample["flags"]
        # The square root is finite at 0, its derivative is not.
        zero = jnp.where(bad_gradient, model.energy.b - jax.lax.stop_gradient(model.energy.b), 1.0)
        return energies + jnp.where(bad_loss, self.bad, 0.0) + jnp.sqrt(zero)


def overflowing(step_at_which: int) -> optax.GradientTransformation:
    """Finite gradients, of which one step makes an update that is too large for the parameters."""

    def update(updates, state, params=None):
        factor = jnp.where(state == step_at_which, jnp.inf, -0.01)
        return jax.tree.map(lambda leaf: factor * jnp.sign(leaf), updates), state + 1

    return optax.GradientTransformation(lambda params: jnp.asarray(0), update)


def with_bad_state(step_at_which: int) -> optax.GradientTransformation:
    """Finite updates from a state that is lost, as Adam's is once a squared gradient overflows."""

    def update(updates, state, params=None):
        best, count = state
        moment = jnp.where(count == step_at_which, jnp.inf, 1.0)
        return jax.tree.map(lambda leaf: -0.01 * leaf, updates), (
            {"best": best["best"], "moment": moment},
            count + 1,
        )

    # Infinite from the start, as the best loss so far is in some optimisers: no reason to refuse.
    start = {"best": jnp.asarray(jnp.inf), "moment": jnp.asarray(0.0)}
    return optax.GradientTransformation(lambda params: (start, jnp.asarray(0)), update)


CLIPPED = optax.chain(optax.clip(1.0), MOMENTUM)
OVERFLOWING = overflowing(3)
LOSING = with_bad_state(3)
CASES = {
    "draws": (Planted("draws", (3,)), MOMENTUM, "draws.weight"),
    "loss": (Planted("loss", (3,)), MOMENTUM, "loss"),
    "infinite loss": (Planted("loss", (3,), float("inf")), MOMENTUM, "loss"),
    "gradient": (Planted("gradient", (3,)), MOMENTUM, "gradient.energy.b"),
    "clipped gradient": (Planted("gradient", (3,)), CLIPPED, "gradient.energy.b"),
    "update": (Planted(), OVERFLOWING, "new_parameters.energy.a"),
    "optimiser": (Planted(), LOSING, "optimizer_state.0.moment"),
    "carried": (Planted("carried", (3,)), MOMENTUM, "carried.chains"),
}


def _bits(tree: Any) -> list[bytes]:
    def data(leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    return [data(leaf) for leaf in jax.tree.leaves(tree)]


def _kept(state: Any) -> list[bytes]:
    """What a refused step must leave as it was."""
    return _bits((state.model, state.optimizer_state, state.carried, state.average))


STEP = eqx.filter_jit(Trainer.step)


@pytest.mark.parametrize("name", CASES)
def test_a_refused_step_changes_no_bit_and_is_named(name):
    objective, optimizer, expected = CASES[name]
    trainer = Trainer(objective, optimizer, 2, ema_decay=0.5)
    data = as_batch(ENERGY, DATA)
    state = trainer.init(ENERGY, data, KEY)
    for number in range(4):
        before = state
        state, metrics = STEP(trainer, state, data)
        refused = number == 3
        assert float(metrics["refused"]) == refused
        assert int(state.step) == number + 1
        assert (_kept(state) == _kept(before)) == refused
    assert [int(state.num_refused), int(state.refused_in_a_row)] == [1, 1]
    failed_step, place = (int(value) for value in state.first_failure)
    assert failed_step == 3
    assert trainer.failure_names(state, data)[place] == expected


def test_the_first_thing_is_the_first_that_is_computed():
    trainer = Trainer(CASES["carried"][0], LOSING)
    data = as_batch(ENERGY, DATA)
    names = trainer.failure_names(trainer.init(ENERGY, data, KEY), data)
    places = list(dict.fromkeys(name.split(".")[0] for name in names))
    expected = ["draws", "loss", "gradient", "new_parameters", "optimizer_state", "carried"]
    assert places == expected


def _fit(objective, optimizer=MOMENTUM, **settings):
    given = {"rng_key": KEY, "num_steps": 12, "progress_bar": False} | settings
    return ebm.fit(ENERGY, DATA, objective, optimizer, **given)


@pytest.mark.parametrize("name", ["draws", "gradient"])
def test_a_fit_recovers_from_sporadic_refusals(name):
    bad_steps = (0, 3, 4, 11)
    with pytest.warns(UserWarning, match="4 of 12 steps were refused because something was not"):
        fit = _fit(Planted(name, bad_steps), max_refused=3)
    assert np.flatnonzero(fit.history["refused"]).tolist() == list(bad_steps)
    assert fit.num_refused == 4
    assert fit.history["seen"].tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8]
    clean = _fit(Planted(), num_steps=8)
    # The eight steps that were taken are those of a fit without the bad ones: the batch is all data.
    assert _bits(fit.energy) == _bits(clean.energy)
    assert clean.num_refused == 0


@pytest.mark.parametrize("name", CASES)
def test_too_many_refusals_in_a_row_stop_the_fit_by_name(name):
    objective, optimizer, expected = CASES[name]
    objective = eqx.tree_at(lambda tree: tree.bad_steps, objective, jnp.arange(3, 13))
    message = (
        rf"Planted stopped after 4 refused steps in a row: at step 3 `{expected}` was the first thing "
        r"not finite\. The parameters are those before that step\."
    )
    with pytest.raises(ebm.TrainingDivergedError, match=message) as error:
        _fit(objective, optimizer, max_refused=4)
    state: Any = error.value.state
    assert int(state.step) == 7
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.model))
    before = _fit(objective, optimizer, num_steps=3).state
    assert _kept(state) == _kept(before)


def test_a_fit_of_refused_steps_alone_is_none():
    with pytest.raises(ebm.TrainingDivergedError, match="stopped after 3 refused steps in a row"):
        _fit(Planted("loss", (0, 1, 2)), num_steps=3)


def test_only_refusals_in_a_row_count():
    with pytest.warns(UserWarning, match="10 of 15 steps"):
        fit = _fit(
            Planted("loss", tuple(n for n in range(15) if n % 3)), num_steps=15, max_refused=3
        )
    assert fit.num_refused == 10


def test_a_second_row_is_named_by_its_own_first_failure():
    objective = Planted("carried", (2, 7, 8, 9, 10))
    with pytest.raises(ebm.TrainingDivergedError, match=r"at step 7 `carried\.chains`"):
        _fit(objective, max_refused=3)


def test_a_gradient_whose_square_overflows_is_no_silent_end():
    """1e20 is finite and its square is not: Adam would divide by infinity and stand still for ever."""

    class Steep(Planted):
        def losses(self, model, batch, sample):
            return 1e20 * energies_of(model.energy, batch)

    with pytest.raises(ebm.TrainingDivergedError, match=r"`gradient\.energy\.a`"):
        _fit(Steep(), optax.adam(0.01))


class Frozen(Planted):
    """Planted bug: what it carries is a number of Python's, which a compiled loop cannot change."""

    def init(self, energy, data, rng_key):
        return None, 0

    def prepare(self, model, batch, carried, step, rng_key):
        return Prepared(None, carried + 1, {})

    def losses(self, model, batch, sample):
        return energies_of(model.energy, batch)


def test_what_changes_must_be_an_array():
    with pytest.raises(ValueError, match=r"must be arrays, .* got 0 before and 1 after a step"):
        _fit(Frozen())


class Learned(Planted):
    """Learns a number that it gives as a float."""

    def init(self, energy, data, rng_key):
        return {"log_z": 0.0}, None

    def prepare(self, model, batch, carried, step, rng_key):
        return Prepared(None, None, {})

    def losses(self, model, batch, sample):
        return (model.learned["log_z"] - 1.0) ** 2 + 0 * energies_of(model.energy, batch)


def test_a_float_that_is_learned_does_learn():
    assert 0.0 < float(_fit(Learned()).learned["log_z"]) < 1.0


def test_a_metric_must_not_take_the_name_of_the_loops_own():
    class Shadow(Learned):
        def prepare(self, model, batch, carried, step, rng_key):
            return Prepared(None, None, {"loss": jnp.zeros(())})

    with pytest.raises(ValueError, match=r"must not be called one of \('loss', .*; got 'loss'"):
        _fit(Shadow())


def test_an_example_at_which_the_energy_is_not_finite_is_named():
    """Beta's support has its ends, but its density there may be 0 or infinite."""
    energy = ebm.energies.Beta(2.0, 2.0)
    with pytest.raises(
        ebm.TrainingDivergedError, match=r"example in row 2, 1\.0, is inf .*leave such rows out"
    ):
        ebm.fit(
            energy,
            np.array([0.2, 0.3, 1.0, 0.4]),
            ebm.ExactMaximumLikelihood.for_energy(energy),
            optax.adam(1e-2),
            num_steps=20,
            rng_key=jax.random.key(0),
            progress_bar=False,
        )
