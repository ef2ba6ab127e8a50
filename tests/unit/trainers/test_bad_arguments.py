"""Every argument that is out of bounds gives one error with its name, its bound and its value."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian
from ebm_ppl.trainers import Checkpoint, Trainer, Validation, as_batch
from ebm_ppl.trainers._fit import _check_kinds
from tests.unit.trainers.pull import START, Pull

DATA = jnp.array([1.0, 2.0, 3.0, 6.0])
SETTINGS = {
    "energy": START,
    "data": DATA,
    "objective": Pull(),
    "optimizer": optax.sgd(0.1),
    "rng_key": jax.random.key(0),
    "num_steps": 3,
    "progress_bar": False,
}
COUNT = "must be an integer of at least 1; got"
CONDITIONAL = ConditionalGaussian([[1.0]], [0.0], [[1.0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_steps": 0}, f"`num_steps` {COUNT} 0"),
        ({"num_steps": True}, f"`num_steps` {COUNT} True"),
        ({"num_steps": None}, "Exactly one of `num_steps` and `num_epochs` must be .* got neither"),
        ({"num_epochs": 2}, "Exactly one of `num_steps` and `num_epochs` must be .* got both"),
        ({"num_steps": None, "num_epochs": -1}, f"`num_epochs` {COUNT} -1"),
        ({"batch_size": 0}, f"`batch_size` {COUNT} 0"),
        ({"batch_size": 5}, "`batch_size` must be at most the number of examples, 4; got 5"),
        (
            {"batch_size": 5, "num_steps": None, "num_epochs": 1},
            "`batch_size` must be at most the number of examples, 4; got 5",
        ),
        ({"max_refused": 0}, f"`max_refused` {COUNT} 0"),
        ({"condition_dropout": 1.5}, r"`condition_dropout` must be a number in \[0.*1.*\]; got 1\.5"),
        ({"condition_dropout": 0.5}, r"`condition_dropout` must be 0 where .*; got 0\.5"),
        ({"ema_decay": 1.0}, r"`ema_decay` must be a number in \(0\.0, 1\.0\); got 1\.0"),
        ({"ema_decay": lambda count: 2.0}, r"`ema_decay` must be a number in \[0.*1.*\]; got 2\.0"),
        ({"rng_key": jax.random.split(jax.random.key(0))}, "`rng_key` must be one random key, .*; got"),
        ({"data": [[1.0]]}, r"Expected `data` of shape \(num_examples\); got \(1, 1\)"),
        ({"data": [np.nan]}, "`data` must be finite everywhere; got nan in row 0"),
        ({"condition": DATA}, "`condition` must be None for an energy without a condition; got one"),
        ({"energy": CONDITIONAL, "data": DATA[:, None]}, "`condition` must be given .*; got None"),
        ({"validation": Validation(fraction=0.9)}, "`fraction` must leave examples .*; got 0.9 of 4"),
        ({"validation": Validation(fraction=0.5, every=4)}, "`every` must be at most .*, 3, .*; got 4"),
        (
            {"energy": CONDITIONAL, "data": DATA[:, None], "condition": DATA[:, None]}
            | {"objective": ebm.ScoreMatching(), "condition_dropout": 0.5},
            "`null_condition` of ConditionalGaussian must be an array .*; got None",
        ),
        (
            {"objective": ebm.ContrastiveDivergence(functools.partial(ebm.MALA, step_size=-1.0))},
            r"`step_size` must be .*; got -1\.0",
        ),
        ({"energy": ebm.energies.Beta(2.0, 2.0), "data": [0.5], "objective": ebm.ScoreMatching()},
         "`energy` must have a support without boundary .*; got "),
    ],
)  # fmt: skip
def test_a_bad_argument_is_refused_and_nothing_is_written(tmp_path, changes, message):
    arguments = SETTINGS | {"checkpoint": Checkpoint(tmp_path / "fit.ckpt")} | changes
    with pytest.raises(ValueError, match=message):
        ebm.fit(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"energy": jnp.sum},
            "`energy` must be an energy; `energies.from_callable` makes one; got",
        ),
        (
            {"objective": ebm.PersistentCD},
            r"`objective` must be an objective and not its class: call it, as in `PersistentCD\(\.\.\.\)`",
        ),
        (
            {"objective": "persistent-cd"},
            "`objective` must be an objective, one of .*PersistentCD, .*ScoreMatching, .*got 'persis",
        ),
        ({"optimizer": 1e-3}, r"`optimizer` must be an Optax transformation; got 0\.001"),
        ({"validation": 0.1}, r"`validation` must be a `Validation` or None; got 0\.1"),
        ({"checkpoint": "fit.ckpt"}, "`checkpoint` must be a `Checkpoint` or None; got 'fit.ckpt'"),
        ({"callback": print}, r"`callback` must be a `Callback\(function, every=...\)` or None; "),
    ],
)
def test_one_thing_in_the_place_of_another_is_named(changes, message):
    names = ("energy", "objective", "optimizer")
    unused = dict.fromkeys(("validation", "checkpoint", "callback"))
    right = {name: SETTINGS[name] for name in names} | unused
    _check_kinds(**right)
    with pytest.raises(ValueError, match=message):
        _check_kinds(**(right | changes))


def test_a_trainer_of_its_own_checks_the_same():
    with pytest.raises(ValueError, match=f"`batch_size` {COUNT} -3"):
        Trainer(Pull(), optax.sgd(0.1), -3)
    with pytest.raises(ValueError, match=r"`batch_size` must be at most .* 4; got 5"):
        Trainer(Pull(), optax.sgd(0.1), 5).init(START, as_batch(START, DATA), jax.random.key(0))


def test_the_arguments_that_are_varied_above_are_right():
    assert int(ebm.fit(**SETTINGS).state.step) == 3
