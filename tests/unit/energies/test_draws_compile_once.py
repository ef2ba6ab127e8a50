"""Draws outside of compiled functions, as in a Gibbs loop in Python, compile at the first call alone."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ebm_ppl.energies import (
    BoltzmannMachine,
    GaussianBernoulliRBM,
    Graph,
    GraphIsing,
    Ising,
    Potts,
    RestrictedBoltzmannMachine,
)

GRAPH = Graph(3, [[0, 1], [1, 2]])
LAYERS = jnp.ones((3, 2)), jnp.zeros(3), jnp.zeros(2)
BLOCKWISE = [
    Ising((4, 4), 0.3),
    Ising((3, 3), 0.3),
    GraphIsing(0.3, 0.0, GRAPH),
    BoltzmannMachine(0.3, 0.0, GRAPH),
    Potts(3, 0.3, GRAPH),
    RestrictedBoltzmannMachine(*LAYERS),
    GaussianBernoulliRBM(*LAYERS),
]


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Names of what XLA compiles meanwhile."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **details: Any) -> None:
        if "backend_compile" in event:
            names.append(str(details.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def assert_compiles_once(draw: Callable[[jax.Array], jax.Array]) -> None:
    keys = list(jax.random.split(jax.random.key(0), 4))
    first = [np.asarray(draw(key)) for key in keys[:2]]
    with compilations() as names:
        for key in keys[2:]:
            draw(key)
    assert not names
    assert np.isfinite(first).all()


@pytest.mark.parametrize("energy", BLOCKWISE, ids=lambda energy: type(energy).__name__)
def test_sweeps(energy: Ising) -> None:
    x = jnp.ones(energy.event_shape)
    assert_compiles_once(lambda key: energy.gibbs_sweep(key, x))


@pytest.mark.parametrize("energy", BLOCKWISE[-2:], ids=lambda energy: type(energy).__name__)
def test_layers(energy: GaussianBernoulliRBM) -> None:
    x, hidden = jnp.ones(3), jnp.ones(2)
    assert_compiles_once(lambda key: energy.sample_hidden(key, x))
    assert_compiles_once(lambda key: energy.sample_visible(key, hidden))
    batch = jnp.ones((5, 3))
    each = jax.vmap(energy.sample_hidden)
    assert_compiles_once(lambda key: each(jax.random.split(key, 5), batch))


def test_another_machine_of_the_same_shape_compiles_nothing() -> None:
    x = jnp.ones(3)
    RestrictedBoltzmannMachine(*LAYERS).sample_hidden(jax.random.key(0), x)
    other, key = RestrictedBoltzmannMachine(2 * LAYERS[0], *LAYERS[1:]), jax.random.key(1)
    with compilations() as names:
        other.sample_hidden(key, x)
    assert not names
