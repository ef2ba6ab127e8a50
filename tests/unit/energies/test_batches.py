"""One energy is one law: what is said of parameters with a batch axis, and what serves instead."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from numpyro.distributions import constraints

import ebm_ppl
from ebm_ppl import energies as ebm
from ebm_ppl.energies._unbatched import REMEDY
from tests.unit.energies.test_every_energy import every_energy

PATH = ebm.Graph(3, [(0, 1), (1, 2)])
REGRESSION = ebm.ConditionalGaussian([[1.0], [0.5]], [0.25, 0.0], np.eye(2), [0.0])
WELL = {"barrier_height": 2.0, "separation": 2.5}
PAIR = [[1.0, 0.3], [0.3, 0.5]]
MACHINE = {"weights": [[1.0], [-2.0]], "visible_bias": [0.1, 0.2], "hidden_bias": [0.3]}
ARGUMENTS: dict[type, dict[str, Any]] = {
    ebm.AffineEnergy: {"energy": ebm.Banana(), "loc": [1.0, -2.0], "scale": [0.5, 2.0]},
    ebm.Banana: {"a": 0.5, "b": 2.0, "scale": 0.5},
    ebm.Beta: {"concentration1": 3.0, "concentration0": 2.0},
    ebm.BoltzmannMachine: {"weights": [0.5, -1.0], "biases": [0.2, -0.3, 0.4], "graph": PATH},
    ebm.ConditionalGaussian: {
        "coefficients": [[1.0], [0.5]],
        "intercept": [0.25, 0.0],
        "covariance_matrix": PAIR,
        "null_condition": [0.0],
    },
    ebm.ConditionedEnergy: {"energy": ebm.Banana(), "values": [0.5], "fixed": (0,)},
    ebm.DoubleWell: {"dim": 2} | WELL,
    ebm.FixedEnergy: {"energy": REGRESSION, "y": [0.5]},
    ebm.Funnel: {"dim": 2, "scale": 1.0},
    ebm.Gamma: {"concentration": 2.0, "rate": 1.0},
    ebm.Gaussian: {"loc": [0.5, -1.0], "covariance_matrix": PAIR},
    ebm.GaussianBernoulliRBM: MACHINE | {"log_scale": [0.2, -0.4]},
    ebm.GaussianMixture: {
        "weights": [0.3, 0.7],
        "locs": [[-2.0], [2.0]],
        "covariance_matrices": [[[1.0]], [[0.25]]],
    },
    ebm.GraphIsing: {"coupling": [0.5, -1.0], "field": [0.2, -0.3, 0.4], "graph": PATH},
    ebm.GuidedEnergy: {"energy": REGRESSION, "scale": 1.0},
    ebm.Ising: {"shape": (3, 3), "coupling": 0.4, "field": -0.2},
    ebm.LikelihoodEnergy: {"energy": REGRESSION, "observations": [[0.5], [-1.0]]},
    ebm.PartlyFixedEnergy: {
        "energy": ebm.NeuralNoiseConditionalEnergy((2,), (1,), rng_key=jax.random.key(0)),
        "sigma": 0.5,
    },
    ebm.Potts: {"num_states": 3, "coupling": [0.8, 0.1], "graph": PATH, "field": [0.3, -0.2]},
    ebm.Quartic: {"a": 1.0, "b": 0.5, "gamma": 0.0},
    ebm.RestrictedBoltzmannMachine: MACHINE,
    ebm.Ring: {"radius": 2.0, "width": 0.5},
    ebm.TemperedEnergy: {"energy": ebm.Quartic(), "inverse_temperature": 0.5},
    ebm.TiltedDoubleWell: {"dim": 2} | WELL | {"tilt": 0.5},
}
"""Arguments of every class; numbers and lists are parameters."""

WITHOUT_ARRAYS = {
    *(ebm.CallableEnergy, ebm.CallableConditionalEnergy, ebm.SumEnergy, ebm.NeuralEnergy),
    *(ebm.NeuralConditionalEnergy, ebm.NeuralNoiseConditionalEnergy),
}
"""Classes that make their parameters themselves, or have those of their parts."""

PARAMETERS = [
    (cls, name)
    for cls, arguments in ARGUMENTS.items()
    for name, value in arguments.items()
    if isinstance(value, (float, list))
]
every_parameter = pytest.mark.parametrize(
    ("cls", "name"), PARAMETERS, ids=lambda part: getattr(part, "__name__", part)
)


def test_every_class_is_among_the_cases() -> None:
    exported = {
        member
        for _, member in inspect.getmembers(ebm, inspect.isclass)
        if issubclass(member, (ebm.AbstractEnergy, ebm.AbstractConditionalEnergy))
        and not inspect.isabstract(member)
    }
    assert exported == ARGUMENTS.keys() | WITHOUT_ARRAYS


@pytest.mark.parametrize("size", [1, 2, 3])
@every_parameter
def test_a_batch_axis_is_refused_at_construction(cls: type, name: str, size: int) -> None:
    batch = np.broadcast_to(ARGUMENTS[cls][name], (size, *np.shape(ARGUMENTS[cls][name])))
    for value in (batch, jnp.asarray(batch)):
        with pytest.raises(ValueError, match=rf"Expected `{name}` of shape") as refusal:
            cls(**ARGUMENTS[cls] | {name: value})
        assert f"got {batch.shape}. {REMEDY}" in str(refusal.value)


MAPPED = [part for part in PARAMETERS if part[0] is not ebm.AffineEnergy]
"""Without the constants of an affine energy, which must not be traced."""


@pytest.mark.parametrize(("cls", "name"), MAPPED, ids=lambda part: getattr(part, "__name__", part))
def test_each_of_a_batch_can_be_built_within_a_map(cls: type, name: str) -> None:
    def build(value: Array) -> None:
        cls(**ARGUMENTS[cls] | {name: value})

    value = jnp.asarray(ARGUMENTS[cls][name])
    jax.eval_shape(jax.vmap(build), jnp.stack([value, value]))
    with pytest.raises(ValueError, match=rf"Expected `{name}` of shape .*jax.vmap"):
        jax.eval_shape(build, value[None])


@every_parameter
def test_sizes_that_do_not_fit_are_refused_at_construction(cls: type, name: str) -> None:
    right = np.asarray(ARGUMENTS[cls][name])
    if right.ndim == 0 or name == "observations":
        return
    for axis in range(right.ndim):
        if (cls, name, axis) == (ebm.ConditionalGaussian, "coefficients", 1):
            wrong = right[:, :0]
        else:
            wrong = np.concatenate([right, right], axis=axis)
        with pytest.raises(ValueError, match=r"Expected `\w+` of shape .*; got"):
            cls(**ARGUMENTS[cls] | {name: wrong})


def stacked(energy: Any, size: int) -> Any:
    """Several energies in one, as `jax.vmap` returns them."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * size), energy)


@pytest.mark.parametrize("register", [ebm_ppl.EnergyDistribution, ebm_ppl.potential_fn])
@pytest.mark.parametrize("size", [1, 2, 3])
@every_energy
def test_several_laws_in_one_are_refused_as_they_are_registered(energy, size, register):
    with pytest.raises(ValueError, match=r"Expected `\w+` of shape") as refusal:
        register(stacked(energy, size))
    assert REMEDY in str(refusal.value)


@every_energy
def test_each_of_several_laws_can_be_registered_within_a_map(energy):
    def law(one):
        ebm_ppl.potential_fn(one)
        return ebm_ppl.EnergyDistribution(one, log_z=0.0).log_prob(jnp.ones(energy.event_shape))

    assert jax.eval_shape(jax.vmap(law), stacked(energy, 3)).shape == (3,)


def test_networks_of_several_keys_are_refused() -> None:
    keys = jax.random.split(jax.random.key(0), 4)
    networks = eqx.filter_vmap(lambda key: ebm.NeuralEnergy((4,), rng_key=key, width=4))(keys)
    with pytest.raises(ValueError, match=r"Expected `bias` of shape \(out_size,\) .*jax.vmap"):
        ebm_ppl.potential_fn(networks)


def test_somebodys_own_energy_is_held_against_its_annotations() -> None:
    class Summed(ebm.AbstractEnergy):
        """Its energy is one number whatever the shape of its parameter."""

        rate: Float[Array, ""] = eqx.field(converter=ebm.as_parameter)
        event_shape = ()
        support = constraints.positive

        def __check_init__(self) -> None:
            if self.rate <= 0:  # which cannot be asked of what JAX traces
                raise ValueError("`rate` must be positive.")

        def _energy(self, x: Any) -> Any:
            return jnp.sum(self.rate * x)

    assert ebm_ppl.EnergyDistribution(Summed(1.0)).log_prob(2.0) == -2.0
    with pytest.raises(ValueError, match=r"Expected `rate` of shape \(\); got \(3,\).*jax.vmap"):
        ebm_ppl.EnergyDistribution(stacked(Summed(1.0), 3))


def test_callables_of_many_numbers_are_refused() -> None:
    springs = ebm.from_callable(stacked(ebm.Quartic(), 3), ())
    with pytest.raises(ValueError, match=r"of shape \(\); got \(3,\).*jax.vmap"):
        ebm_ppl.as_model(springs)
    with pytest.raises(ValueError, match=r"Expected `fn\(x\)` of shape \(\); got \(2,\)"):
        ebm_ppl.potential_fn(ebm.from_callable(lambda x: x**2, (2,)))
