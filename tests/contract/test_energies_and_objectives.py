"""Every objective trains every kind of energy, or says why not and what serves instead."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from flowjax.distributions import Normal as FlowNormal

import ebm_ppl as ebm
import ebm_ppl.trainers
from ebm_ppl.energies import from_callable, from_conditional_callable
from ebm_ppl.trainers import AbstractObjective

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 1)).astype(np.float32)
Y, SIGMA = 0.3, 0.7
CONDITION, LEVELS = np.full((4, 1), Y, np.float32), np.full(4, SIGMA, np.float32)
NOISE = dist.Normal(0.0, 3.0).expand((1,)).to_event(1)


class Parabola(eqx.Module):
    """The normal law about y of a precision that is learned, under noise, and as each kind of energy sees it.

    Where y and the level of noise are not asked for they are what all examples have.
    """

    log_precision: jax.Array
    sees: tuple[str, ...] = eqx.field(static=True)
    level: float = eqx.field(static=True)

    def __call__(self, x, *given):
        seen = dict(zip(self.sees, given, strict=True))
        y, sigma = seen.get("y", jnp.asarray([Y])), seen.get("sigma", self.level)
        return 0.5 * jnp.sum((x - y) ** 2) / (jnp.exp(-self.log_precision) + sigma**2)


def energy_of(*sees, level=SIGMA):
    law = Parabola(jnp.zeros(()), sees, level)
    if not sees:
        return from_callable(law, (1,))
    condition_shape = (1,) if "y" in sees else None
    return from_conditional_callable(law, (1,), condition_shape, noise_conditional="sigma" in sees)


class LogZ(eqx.Module):
    """A number that is learned, whatever it is asked at."""

    value: jax.Array

    def __call__(self, *given):
        return self.value


KINDS = {
    "E(x)": (),
    "E(x | y)": ("y",),
    "E_sigma(x)": ("sigma",),
    "E_sigma(x | y)": ("y", "sigma"),
}


def given(kind, objective):
    """What the data of a kind of energy have beside their points."""
    sees = KINDS[kind]
    condition = CONDITION if "y" in sees else None
    sigma = LEVELS if "sigma" in sees and not objective.adds_noise else None
    return {"condition": condition, "sigma": sigma}


def log_z_of(kind):
    return LogZ(jnp.zeros(())) if "sigma" in KINDS[kind] else 0.0


def exact(kind):
    ours = {"condition": CONDITION[:1] if "y" in KINDS[kind] else None}
    ours |= {"sigma": LEVELS[:1] if "sigma" in KINDS[kind] else None}
    return ebm.ExactMaximumLikelihood.for_energy(energy_of(*KINDS[kind]), **ours)


OBJECTIVES = {
    "AnnealedDenoisingScoreMatching": lambda _: ebm.AnnealedDenoisingScoreMatching([SIGMA]),
    "ConditionalNoiseContrastive": lambda _: ebm.trainers.ConditionalNoiseContrastive(0.5),
    "ContrastiveDivergence": lambda _: ebm.ContrastiveDivergence(),
    "DenoisingScoreMatching": lambda _: ebm.DenoisingScoreMatching(SIGMA),
    "ExactMaximumLikelihood": exact,
    "FisherScoreMatching": lambda _: ebm.trainers.FisherScoreMatching(NOISE),
    "FlowContrastive": lambda kind: ebm.FlowContrastive(
        FlowNormal(jnp.zeros(1)), optax.adam(0.1), log_z=log_z_of(kind)
    ),
    "NoiseContrastive": lambda kind: ebm.NoiseContrastive(NOISE, log_z=log_z_of(kind)),
    "PersistentCD": lambda _: ebm.PersistentCD(num_chains=4),
    "RankingNoiseContrastive": lambda _: ebm.RankingNoiseContrastive(NOISE),
    "ReplayBufferCD": lambda _: ebm.ReplayBufferCD(num_steps=1, buffer_size=4),
    "ReplicaExchangeCD": lambda _: ebm.trainers.ReplicaExchangeCD(2),
    "ScoreMatching": lambda _: ebm.ScoreMatching(),
    "SlicedScoreMatching": lambda _: ebm.SlicedScoreMatching(),
}

# What is refused: the kinds, with the reason and what serves instead.
REFUSED = {
    "AnnealedDenoisingScoreMatching": (
        ("E(x)", "E(x | y)"),
        r"noise-conditional for Annealed.*; got .*, an energy {kind}, which `DenoisingScoreMatching`",
    ),
    "FisherScoreMatching": (
        ("E(x)", "E_sigma(x)", "E_sigma(x | y)"),
        r"for FisherScoreMatching; got .*, an energy {kind}. Take `ScoreMatching` .* `AnnealedDenoising",
    ),
    "ReplicaExchangeCD": (
        tuple(KINDS),
        r"discrete AbstractBlockwiseEnergy for ReplicaExchangeCD; got .*, an energy {kind}. Take `Persis",
    ),
}
SERVED = [
    (name, kind)
    for name in OBJECTIVES
    for kind in KINDS
    if kind not in REFUSED.get(name, ((), ""))[0]
]


def fitted(name, kind):
    objective = OBJECTIVES[name](kind)
    return ebm.fit(
        energy_of(*KINDS[kind]),
        X,
        objective,
        optax.sgd(0.1),
        num_steps=2,
        rng_key=KEY,
        progress_bar=False,
        **given(kind, objective),
    )


def escaped(text):
    return text.replace("(", r"\(").replace(")", r"\)").replace("|", r"\|")


def test_every_objective_is_asked():
    public = {
        name
        for name, value in vars(ebm_ppl.trainers).items()
        if isinstance(value, type)
        and issubclass(value, AbstractObjective)
        and not name.startswith("Abstract")
    }
    assert public == set(OBJECTIVES)


@pytest.mark.parametrize("name", dict(SERVED))
def test_an_objective_trains_each_kind_that_it_serves_alike(name):
    """If all examples have one condition and level, an energy of these fits as the energy at them does."""
    kinds = [kind for served, kind in SERVED if served == name]
    fits = [fitted(name, kind) for kind in kinds]
    values = [fit.energy.parameters.log_precision for fit in fits]
    assert all(fit.num_refused == 0 for fit in fits)
    assert all(abs(value) > 1e-4 for value in values)
    if name != "PersistentCD":  # a chain for each example, if there are conditions
        np.testing.assert_allclose(values, values[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name, (kinds, _) in REFUSED.items() for kind in kinds],
)
def test_what_an_objective_does_not_serve_is_refused_with_what_does(name, kind):
    message = REFUSED[name][1].replace("{kind}", escaped(kind))
    with pytest.raises(ValueError, match=message):
        fitted(name, kind)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in SERVED if "sigma" in pair[1]])
def test_levels_come_with_the_points_or_from_the_objective(name, kind):
    objective = OBJECTIVES[name](kind)
    levels = LEVELS if objective.adds_noise else None
    message = (
        f"`sigma` must be None with {name}, which adds noise to the points"
        if objective.adds_noise
        else rf"`sigma` must be given to {name} with .*, an energy {escaped(kind)}: the standard .* `Annealed"
    )
    with pytest.raises(ValueError, match=message):
        ebm.fit(
            energy_of(*KINDS[kind]),
            X,
            objective,
            optax.sgd(0.1),
            num_steps=2,
            rng_key=KEY,
            **(given(kind, objective) | {"sigma": levels}),
        )
