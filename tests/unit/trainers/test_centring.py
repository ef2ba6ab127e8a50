"""The centred gradient against derivatives in centred coordinates, and the symmetry that it has."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.trainers import Model, centred

RNG = np.random.default_rng(0)
MACHINE = RestrictedBoltzmannMachine(
    RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3)
)
MEAN = np.array([0.2, 0.7, 0.4, 0.9])
HIDDEN_MEAN = np.array([0.3, 0.6, 0.5])
EXAMPLES = np.array([[1.0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]])
CHAINS = np.array([[0.0, 0, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]])


def loss(machine):
    """Energy of examples less that of chains, as every contrastive objective has it."""
    return jnp.mean(jax.vmap(machine)(EXAMPLES)) - jnp.mean(jax.vmap(machine)(CHAINS))


def stepped(machine, optimizer):
    """The machine after one step, in double precision."""
    with float64():
        model = Model(to_float64(machine))
        gradient = Model(jax.grad(loss)(model.energy))
        updates, _ = optimizer.update(gradient, optimizer.init(model), model)
        return optax.apply_updates(model, updates).energy


def test_steps_are_those_in_centred_coordinates():
    def machine_of(weights, visible_bias, hidden_bias):
        return RestrictedBoltzmannMachine(
            weights, visible_bias - weights @ HIDDEN_MEAN, hidden_bias - MEAN @ weights
        )

    with float64():
        exact = to_float64(MACHINE)
        coordinates = (
            exact.weights,
            exact.visible_bias + exact.weights @ HIDDEN_MEAN,
            exact.hidden_bias + MEAN @ exact.weights,
        )
        gradient = jax.grad(lambda leaves: loss(machine_of(*leaves)))(coordinates)
        moved = [leaf - 0.1 * slope for leaf, slope in zip(coordinates, gradient, strict=True)]
        expected = machine_of(*moved)
    found = stepped(MACHINE, centred(optax.sgd(0.1), MEAN, HIDDEN_MEAN))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def flipped(machine):
    """The same law, with what the first hidden unit calls 0 and 1 exchanged."""
    sign = np.array([-1.0, 1.0, 1.0])
    return RestrictedBoltzmannMachine(
        machine.weights * sign,
        machine.visible_bias + machine.weights[:, 0],
        machine.hidden_bias * sign,
    )


@pytest.mark.parametrize("is_centred", [True, False])
def test_what_is_called_one_does_not_matter_where_steps_are_centred(is_centred):
    rules = [
        centred(optax.sgd(0.5), MEAN, mean) if is_centred else optax.sgd(0.5)
        for mean in (HIDDEN_MEAN, np.array([1 - HIDDEN_MEAN[0], *HIDDEN_MEAN[1:]]))
    ]
    one = stepped(MACHINE, rules[0])
    other = stepped(flipped(MACHINE), rules[1])
    with float64():
        gap = jax.vmap(one)(CHAINS) - jax.vmap(other)(CHAINS)
    assert (np.ptp(gap) < 1e-6) == is_centred


def test_weight_decay_and_learned_parameters_pass():
    rule = centred(optax.add_decayed_weights(0.1), MEAN)
    zero = Model(jax.tree.map(jnp.zeros_like, MACHINE), {"log_z": jnp.array(2.0)})
    model = Model(MACHINE, {"log_z": jnp.array(3.0)})
    updates, _ = rule.update(zero, rule.init(model), model)
    np.testing.assert_allclose(updates.energy.weights, 0.1 * MACHINE.weights, rtol=1e-6)
    np.testing.assert_allclose(updates.learned["log_z"], 2.3, rtol=1e-6)
    rule = centred(optax.sgd(1.0), MEAN)
    updates, _ = rule.update(zero, rule.init(model))
    assert np.all(updates.energy.weights == 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: centred(0.1, MEAN), "`optimizer` must be an Optax transformation; got 0.1"),
        (lambda: centred(optax.sgd(0.1), [np.nan]), "`visible_mean` must be finite everywhere"),
        (
            lambda: centred(optax.sgd(0.1), MEAN[:2]).init(Model(MACHINE)),
            r"Expected `visible_mean` of shape \(4,\); got \(2,\)",
        ),
        (
            lambda: centred(optax.sgd(0.1), MEAN, MEAN).init(Model(MACHINE)),
            r"Expected `hidden_mean` of shape \(3,\); got \(4,\)",
        ),
        (
            lambda: centred(optax.sgd(0.1), MEAN).init(Model(ebm.energies.Quartic())),
            "`energy` must be a RestrictedBoltzmannMachine; got",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message, monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        make()
