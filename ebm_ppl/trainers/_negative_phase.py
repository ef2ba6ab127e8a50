"""Negative examples: short Markov chains of any NumPyro kernel under the current energy."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PotentialFn, PRNGKey
from ebm_ppl.potentials import EnergyPotential, potential_fn
from ebm_ppl.samplers import AbstractUnadjustedKernel, BlockGibbs, Langevin, run_short_chain
from ebm_ppl.samplers._numpyro import check_finite_start
from ebm_ppl.trainers._batch import Condition, at
from ebm_ppl.trainers._schedule import Schedule, check_positive_schedule, value_at

KernelFactory: TypeAlias = Callable[..., Any]
"""A kernel class, or any callable that takes `potential_fn=` and returns a kernel."""


class Move(eqx.Module):
    r"""A kernel for the negative phase, with settings that may change from step to step.

    Attributes:
        kernel: Kernel class, or callable with the argument `potential_fn`.
        step_size: Step size, a number or a schedule of the training step; the kernel's own if `None`.
        noise_scale: Standard deviation of `Langevin`'s noise, likewise.

    Raises:
        ValueError: If `kernel` is not callable, or a setting is not positive.

    Examples:
        >>> import optax
        >>> from ebm_ppl import MALA
        >>> from ebm_ppl.trainers import Move
        >>> move = Move(MALA, step_size=optax.cosine_decay_schedule(0.1, decay_steps=1000))
        >>> kernel = move.at(lambda z: z**2, step=0)
        >>> type(kernel).__name__
        'MALA'
    """

    kernel: Any = eqx.field(static=True)
    step_size: Schedule = None
    noise_scale: Schedule = None

    def __check_init__(self) -> None:
        if not callable(self.kernel):
            raise ValueError(f"`kernel` must be a kernel class or callable; got {self.kernel!r}.")
        for name, value in (("step_size", self.step_size), ("noise_scale", self.noise_scale)):
            if value is not None:
                check_positive_schedule(name, value)

    def at(self, potential_fn: PotentialFn, step: Array | int) -> Any:
        """The kernel for a potential, with the settings of a training step."""
        settings = {"step_size": self.step_size, "noise_scale": self.noise_scale}
        given = {
            name: value_at(value, step) for name, value in settings.items() if value is not None
        }
        return self.kernel(potential_fn=potential_fn, **given)


Moves: TypeAlias = tuple[Move, ...]


def as_moves(kernel: Any) -> Moves:
    """Read one kernel, or several that take turns."""
    is_one = isinstance(kernel, str) or not isinstance(kernel, Sequence)
    several = (kernel,) if is_one else kernel
    if not several:
        raise ValueError("`kernel` must name at least one kernel; got none.")
    return tuple(move if isinstance(move, Move) else Move(move) for move in several)


class NegativePhase(eqx.Module):
    """What moves the negative examples, and how often.

    Attributes:
        moves: Kernels, applied one after the other in each sweep.
        num_steps: Number of sweeps.
    """

    moves: Moves = eqx.field(converter=as_moves)
    num_steps: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_count("num_steps", self.num_steps)

    def check(self, energy: Any, x: Array, condition: Condition | None) -> None:
        """Build every kernel once outside a step, so that its own checks and warnings take effect."""
        potential = _first_potential(energy, condition)
        z = potential.unconstrain(x[0])
        check_finite_start(eqx.filter_jit(potential)(z))
        for move in self.moves:
            kernel = move.at(potential, 0)
            jax.eval_shape(
                lambda z, kernel=kernel: kernel.init(jax.random.key(0), 0, init_params=z), z
            )

    def run(
        self,
        energy: Any,
        x: Float[Array, "num_chains *event"],
        condition: Condition | None,
        step: Array,
        rng_key: PRNGKey,
    ) -> tuple[Float[Array, "num_chains *event"], dict[str, Float[Array, ""]]]:
        """Move every chain.

        Args:
            energy: The energy; its parameters are constants here.
            x: Where the chains stand.
            condition: What each chain is conditioned on.
            step: Training step, for schedules.
            rng_key: Random key.

        Returns:
            Where the chains stand then, and metrics: the mean acceptance probability and, if a Langevin
            kernel has noise of its own, its effective temperature.
        """
        swept = self._swept(energy, x, condition, rng_key)
        if swept is not None:
            return swept, {"accept_prob": jnp.ones((), x.dtype)}

        def run_chain(
            rng_key: PRNGKey, noise: Array | None, x: Array, condition: Condition | None
        ) -> tuple[Array, Array]:
            potential = potential_fn(at(energy, condition))
            kernels = [move.at(potential, step) for move in self.moves]
            z, accept_prob = _run_kernels(
                kernels, self.num_steps, potential.unconstrain(x), rng_key, noise
            )
            return potential.constrain(z), accept_prob

        key_noise, key_chains = jax.random.split(rng_key)
        noise = self._noise(energy, x, condition, key_noise)
        keys = jax.random.split(key_chains, len(x))
        x, accept_prob = jax.vmap(run_chain, in_axes=(0, 1, 0, 0))(keys, noise, x, condition)
        metrics = {"accept_prob": jnp.mean(accept_prob)}
        temperature = self._temperature(_first_potential(energy, condition), step)
        return x, metrics if temperature is None else metrics | {"temperature": temperature}

    def _swept(
        self, energy: Any, x: Array, condition: Condition | None, rng_key: PRNGKey
    ) -> Array | None:
        """The chains after block Gibbs sweeps of one energy, all drawn together; `None` for other kernels."""
        first, *others = self.moves
        if condition is not None or others:
            return None
        kernel = first.at(potential_fn(energy), 0)
        if type(kernel) is not BlockGibbs:
            return None
        return kernel.sweep_all(rng_key, x, self.num_steps)

    def _noise(
        self, energy: Any, x: Array, condition: Condition | None, rng_key: PRNGKey
    ) -> Float[Array, "num_steps num_chains dim"] | None:
        """The noise of all chains in one draw, where a single unadjusted kernel moves them."""
        potential = _first_potential(energy, condition)
        first, *others = self.moves
        if others or not isinstance(first.at(potential, 0), AbstractUnadjustedKernel):
            return None
        dim = math.prod(potential.position_shape)
        return jax.random.normal(rng_key, (self.num_steps, len(x), dim), x.dtype)

    def _temperature(self, potential: PotentialFn, step: Array) -> Array | None:
        """Largest effective temperature of the Langevin kernels that have noise of their own."""
        kernels = [move.at(potential, step) for move in self.moves]
        given = [
            jnp.asarray(kernel.effective_temperature, dtype=float)
            for kernel in kernels
            if isinstance(kernel, Langevin) and kernel.has_own_noise
        ]
        return jnp.max(jnp.stack(given)) if given else None


def _first_potential(energy: Any, condition: Condition | None) -> EnergyPotential:
    """The potential of the first chain, which stands for all where their values do not matter."""
    return potential_fn(at(energy, jax.tree.map(lambda leaf: leaf[0], condition)))


def _run_kernels(
    kernels: list[Any], num_steps: int, z: Array, rng_key: PRNGKey, noise: Array | None
) -> tuple[Array, Array]:
    """Run one chain of kernels that take turns; return its end and mean acceptance probability."""
    if len(kernels) == 1:
        return run_short_chain(kernels[0], z, num_steps, rng_key, noise)

    def sweep(z: Array, rng_key: PRNGKey) -> tuple[Array, Array]:
        accept_probs = []
        for kernel, key in zip(kernels, jax.random.split(rng_key, len(kernels)), strict=True):
            z, accept_prob = run_short_chain(kernel, z, 1, key)
            accept_probs.append(accept_prob)
        return z, jnp.mean(jnp.stack(accept_probs))

    z, accept_prob = jax.lax.scan(sweep, z, jax.random.split(rng_key, num_steps))
    return z, jnp.mean(accept_prob)
