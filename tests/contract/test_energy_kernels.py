"""What NumPyro's users may rely on, asked of every kernel that reads an energy's structure."""

import functools
import inspect
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import ebm_ppl as ebm
from ebm_ppl import samplers
from ebm_ppl._precision import float64, to_float64
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.quadrature import enumerate_states
from ebm_ppl.samplers import AbstractEnergyKernel
from tests.contract import runs

KERNELS = [
    kernel
    for kernel in vars(samplers).values()
    if inspect.isclass(kernel)
    and issubclass(kernel, AbstractEnergyKernel)
    and not inspect.isabstract(kernel)
]
pytestmark = [
    pytest.mark.parametrize("cls", KERNELS, ids=lambda cls: cls.__name__),
    pytest.mark.usefixtures("light_compilation"),
]
MACHINE = RestrictedBoltzmannMachine(
    [[1.5, -0.5], [-1.0, 0.8], [0.3, 1.0]], [0.2, -0.4, 0.1], [0.1, -0.3]
)
START = jnp.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
Kernel = type[AbstractEnergyKernel]


run = functools.partial(runs.run, init_params=START)


FIELDS = ("accept_prob", "potential_energy", "i")


@functools.cache
def plain_run(cls: Kernel) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws and fields of vectorised chains."""
    return draws_and_fields(cls, "vectorized")


def draws_and_fields(cls: Kernel, method: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    kernel = pickle.loads(pickle.dumps(cls(potential_fn=ebm.potential_fn(MACHINE))))
    mcmc = run(kernel, chain_method=method, extra_fields=FIELDS)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    return np.asarray(mcmc.get_samples(group_by_chain=True)), jax.tree.map(np.asarray, fields)


def agree_with_vectorised(cls: Kernel, method: Any) -> None:
    (draws, fields), (expected, others) = draws_and_fields(cls, method), plain_run(cls)
    np.testing.assert_array_equal(draws, expected)
    runs.assert_close(fields, others)


def test_claims_are_consistent(cls: Kernel) -> None:
    assert cls.exact == (cls.bias_order is None)
    assert cls.takes_discrete


def test_fields_are_collected(cls: Kernel) -> None:
    draws, fields = plain_run(cls)
    assert set(np.unique(draws)) == {0.0, 1.0}
    np.testing.assert_array_equal(fields["i"], [np.arange(1, 21)] * 2)
    assert not np.any(fields["diverging"])
    energies = jax.jit(jax.vmap(jax.vmap(lambda x: MACHINE(x))))(draws)
    np.testing.assert_allclose(fields["potential_energy"], energies, rtol=1e-5)


def test_chain_methods_agree_for_the_same_keys(cls: Kernel) -> None:
    for method in ("sequential", jax.vmap):
        agree_with_vectorised(cls, method)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There are not enough devices")
def test_chains_in_parallel_draw_the_same(cls: Kernel) -> None:
    agree_with_vectorised(cls, "parallel")


def test_models_and_raw_keys_give_the_same_draws(cls: Kernel) -> None:
    kernel = pickle.loads(pickle.dumps(cls(ebm.as_model(MACHINE))))
    mcmc = run(kernel, jax.random.PRNGKey(0), init_params={"x": START})
    np.testing.assert_array_equal(mcmc.get_samples(group_by_chain=True)["x"], plain_run(cls)[0])


def test_precision_is_that_of_the_start(cls: Kernel) -> None:
    with float64():
        kernel = cls(potential_fn=ebm.potential_fn(to_float64(MACHINE)))
        keys = jax.random.split(jax.random.key(0))
        for dtype in ("float32", "float64"):
            before = jax.eval_shape(lambda z: kernel.init(keys, 0, z), START.astype(dtype))
            after = jax.eval_shape(lambda state: kernel.sample(state, (), {}), before)
            for state in (before, after):
                kinds = {
                    leaf.dtype
                    for leaf in jax.tree.leaves(state._replace(rng_key=None))
                    if jnp.issubdtype(leaf.dtype, jnp.floating)
                }
                assert kinds == {jnp.dtype(dtype)}


def test_draws_have_the_law_of_the_energy(cls: Kernel) -> None:
    """Chains from exact draws, ten steps each, G test of all eight states.

    False alarm 1e-8; power: 40,000 chains see a Kullback-Leibler distance of 0.001 with certainty
    (G = 80, where the threshold is 50).
    """
    table = enumerate_states(MACHINE)
    kernel = cls(potential_fn=ebm.potential_fn(MACHINE))
    key_start, key_chains = jax.random.split(jax.random.key(1))
    starts = table.sample(key_start, (40_000,))
    ends = jax.jit(jax.vmap(lambda z, key: samplers.run_short_chain(kernel, z, 10, key)[0]))(
        starts, jax.random.split(key_chains, 40_000)
    )
    counts = np.bincount(table.number_of(ends), minlength=8)
    g = 2 * np.sum(counts * np.log(counts / (40_000 * table.probs)))
    assert stats.chi2.sf(g, df=7) > 1e-8
    assert np.mean(np.any(np.asarray(ends) != np.asarray(starts), axis=1)) > 0.3


def test_arguments_are_checked(cls: Kernel) -> None:
    potential, model = ebm.potential_fn(MACHINE), ebm.as_model(MACHINE)
    for source in ({}, {"model": model, "potential_fn": potential}):
        with pytest.raises(ValueError, match="Exactly one of `model` and `potential_fn` must be"):
            cls(**source)
    with pytest.raises(ValueError, match=r"`potential_fn` must be what `ebm_ppl.potential_fn`"):
        cls(potential_fn=lambda z: potential(z))
    with pytest.raises(ValueError, match=r"`model` must be what `ebm_ppl.as_model` makes"):
        cls(model=lambda: None)
    with pytest.raises(ValueError, match="`init_params` must be provided with `potential_fn`"):
        cls(potential_fn=potential).init(jax.random.key(0), 0)


@pytest.mark.slow
def test_negative_phase_of_every_contrastive_objective(cls: Kernel) -> None:
    data = np.asarray(enumerate_states(MACHINE).sample(jax.random.key(2), (64,)))
    for objective in (
        ebm.ContrastiveDivergence(cls),
        ebm.PersistentCD(cls, num_chains=16),
        ebm.ReplayBufferCD(cls),
    ):
        start = RestrictedBoltzmannMachine.random(jax.random.key(3), 3, 2)
        fit = ebm.fit(
            start,
            data,
            objective,
            optax.sgd(0.05),
            num_steps=3,
            rng_key=jax.random.key(4),
            progress_bar=False,
        )
        assert np.all(np.isfinite(fit.energy.weights))
        assert np.any(fit.energy.weights != start.weights)
