"""Bare JAX: each objective written out by hand for this one network, in one `lax.scan`.

The yardstick for what a library may cost. It checks nothing, records the loss alone, and uses what was
fastest of several formulations of the same arithmetic.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from benchmarks.training import problem

PACKAGES = ("jax", "optax")
_CHUNK = 100  # steps of one compiled call

Parameters: TypeAlias = dict[str, Array]
Points: TypeAlias = Float[Array, "batch 2"]
Step: TypeAlias = Callable[[Parameters, Points, Any, Array], tuple[Array, Parameters, Any]]
"""From parameters, batch, chains and key to loss, gradient and chains."""


def initial_parameters(key: Array) -> Parameters:
    """Weights and biases, uniform within one over the square root of the number of inputs."""
    width = problem.WIDTH
    shapes = {
        "w1": (2, width),
        "b1": (width,),
        "w2": (width, width),
        "b2": (width,),
        "w3": (width,),
    }
    fan_in = {"w1": 2, "b1": 2, "w2": width, "b2": width, "w3": width}
    return {
        name: jax.random.uniform(subkey, shape, minval=-1.0, maxval=1.0) / fan_in[name] ** 0.5
        for subkey, (name, shape) in zip(
            jax.random.split(key, len(shapes)), shapes.items(), strict=True
        )
    }


def energy(parameters: Parameters, x: Points) -> Float[Array, " batch"]:
    """Energies of a batch."""
    hidden = jax.nn.silu(x @ parameters["w1"] + parameters["b1"])
    return jax.nn.silu(hidden @ parameters["w2"] + parameters["b2"]) @ parameters["w3"]


def energy_gradient(parameters: Parameters, x: Points) -> Points:
    """Gradients of the energies of a batch."""
    return jax.grad(lambda x: jnp.sum(energy(parameters, x)))(x)


def langevin(parameters: Parameters, x: Points, key: Array) -> Points:
    """Unadjusted Langevin steps x - ε ∇E + sqrt(2ε) ξ."""
    step_size = problem.LANGEVIN_STEP_SIZE
    noise = jax.random.normal(key, (problem.NUM_LANGEVIN_STEPS, *x.shape))

    def move(x: Points, noise: Points) -> tuple[Points, None]:
        drift = step_size * energy_gradient(parameters, x)
        return x - drift + (2 * step_size) ** 0.5 * noise, None

    # Outside the loop, the first forward pass is one and the same as that of the positive phase.
    x, _ = move(x, noise[0])
    return lax.scan(move, x, noise[1:])[0]


def energy_gap(parameters: Parameters, x: Points, negatives: Points) -> Array:
    """Mean energy of the data less that of the negative examples."""
    return jnp.mean(energy(parameters, x)) - jnp.mean(energy(parameters, negatives))


def contrastive_divergence(
    parameters: Parameters, x: Points, chains: None, key: Array
) -> tuple[Array, Parameters, None]:
    """CD-10: chains from the data."""
    negatives = langevin(parameters, x, key)
    return *jax.value_and_grad(energy_gap)(parameters, x, negatives), chains


def persistent_cd(
    parameters: Parameters, x: Points, chains: Points, key: Array
) -> tuple[Array, Parameters, Points]:
    """Ten steps of chains that never start again."""
    chains = langevin(parameters, chains, key)
    return *jax.value_and_grad(energy_gap)(parameters, x, chains), chains


def denoising_loss(parameters: Parameters, x: Points, noise: Points) -> Array:
    """Half the squared distance of the score at noisy points to minus noise over its scale."""
    scale = problem.NOISE_SCALE
    residual = energy_gradient(parameters, x + scale * noise) - noise / scale
    return 0.5 * jnp.mean(jnp.sum(residual**2, axis=-1))


def denoising_score_matching(
    parameters: Parameters, x: Points, chains: None, key: Array
) -> tuple[Array, Parameters, None]:
    """Denoising score matching with one noise scale."""
    noise = jax.random.normal(key, x.shape)
    return *jax.value_and_grad(denoising_loss)(parameters, x, noise), chains


def sliced_loss(parameters: Parameters, x: Points, directions: Points) -> Array:
    """First and second derivatives along one direction per example, forward over forward."""

    def slope(x: Points) -> Array:
        return jax.jvp(lambda x: energy(parameters, x), (x,), (directions,))[1]

    first, second = jax.jvp(slope, (x,), (directions,))
    return jnp.mean(0.5 * first**2 - second)


def sliced_score_matching(
    parameters: Parameters, x: Points, chains: None, key: Array
) -> tuple[Array, Parameters, None]:
    """Sliced score matching along one sign vector per example."""
    directions = jax.random.rademacher(key, x.shape, x.dtype)
    return *jax.value_and_grad(sliced_loss)(parameters, x, directions), chains


def exact_loss(parameters: Parameters, x: Points) -> Array:
    """Half the squared norm of the score less the trace of the Hessian, forward over reverse."""
    gradient, hessian_product = jax.linearize(lambda x: energy_gradient(parameters, x), x)
    trace = jnp.zeros(len(x))
    for axis in range(
        x.shape[-1]
    ):  # a Python loop: vmap would make slow three-dimensional products
        direction = jnp.zeros_like(x).at[:, axis].set(1.0)
        trace += hessian_product(direction)[:, axis]
    return jnp.mean(0.5 * jnp.sum(gradient**2, axis=-1) - trace)


def score_matching(
    parameters: Parameters, x: Points, chains: None, key: Array
) -> tuple[Array, Parameters, None]:
    """Score matching with the exact trace."""
    del key
    return *jax.value_and_grad(exact_loss)(parameters, x), chains


_STEPS: dict[str, Step] = {
    function.__name__: function
    for function in (
        contrastive_divergence,
        persistent_cd,
        denoising_score_matching,
        sliced_score_matching,
        score_matching,
    )
}


def start(objective: str) -> Callable[[int], float]:
    """Build the trainer of one objective.

    Returns:
        Function that takes a number of steps, a multiple of 100, and returns their mean loss.
    """
    data = jnp.asarray(problem.data())
    optimizer = optax.adam(problem.LEARNING_RATE)
    loss_and_gradient = _STEPS[objective]

    def step(state: Any, draws: tuple[Array, Array]) -> tuple[Any, Array]:
        parameters, optimizer_state, chains = state
        rows, key = draws
        loss, gradient, chains = loss_and_gradient(parameters, data[rows], chains, key)
        updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
        return (optax.apply_updates(parameters, updates), optimizer_state, chains), loss

    @jax.jit
    def run_chunk(state: Any, key: Array) -> tuple[Any, Array]:
        key_rows, key_steps = jax.random.split(key)
        rows = jax.random.randint(key_rows, (_CHUNK, problem.BATCH_SIZE), 0, len(data))
        state, losses = lax.scan(step, state, (rows, jax.random.split(key_steps, _CHUNK)))
        return state, jnp.mean(losses)

    key = jax.random.key(0)
    parameters = initial_parameters(key)
    chains = data[: problem.BATCH_SIZE] if objective == "persistent_cd" else None
    state = (parameters, optimizer.init(parameters), chains)

    def run(num_steps: int) -> float:
        nonlocal state, key
        losses = []
        for _ in range(num_steps // _CHUNK):
            key, subkey = jax.random.split(key)
            state, loss = run_chunk(state, subkey)
            losses.append(loss)
        return float(sum(losses)) / len(losses)

    return run
