"""How chains move along a path, and how their weights add up."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.energies import AbstractBlockwiseEnergy
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import MALA, BlockGibbs, GibbsWithGradients, run_short_chain


class Moves(eqx.Module):
    """What moves chains at one temperature.

    Attributes:
        kernel: Makes a kernel from `potential_fn` and, where the step size is tuned, `step_size`.
        num_steps: Number of its steps.
    """

    kernel: Callable[..., Any] = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    @property
    def is_tunable(self) -> bool:
        """Whether the kernel takes a step size and none has been given."""
        fixed = self.kernel.keywords if isinstance(self.kernel, functools.partial) else {}
        return "step_size" in inspect.signature(self.kernel).parameters and "step_size" not in fixed

    def run(
        self,
        path: AbstractPath,
        inverse_temperature: Scalar,
        step_size: Scalar | None,
        z: Float[Array, "chains *position"],
        rng_key: PRNGKey,
    ) -> tuple[Float[Array, "chains *position"], Scalar]:
        """Move every chain; return where they stand and the mean acceptance probability."""
        potential = potential_fn(path.at(inverse_temperature))
        given = {} if step_size is None else {"step_size": step_size}
        kernel = self.kernel(potential_fn=potential, **given)
        keys = jax.random.split(rng_key, len(z))
        z, accept_prob = jax.vmap(lambda z, key: run_short_chain(kernel, z, self.num_steps, key))(
            z, keys
        )
        return z, jnp.mean(accept_prob)


def as_moves(kernel: Callable[..., Any] | None, num_steps: int, path: AbstractPath) -> Moves:
    """Read a kernel, or choose one: MALA or, of discrete points, Gibbs, by blocks if the path allows."""
    check_count("num_steps", num_steps)
    if kernel is None:
        middle = jax.eval_shape(lambda: path.at(jnp.asarray(0.5)))
        if isinstance(middle, AbstractBlockwiseEnergy):
            kernel = BlockGibbs
        elif path.energy.support.is_discrete:
            kernel = GibbsWithGradients
        else:
            kernel = MALA
    if not callable(kernel):
        raise ValueError(f"`kernel` must be a kernel class or callable; got {kernel!r}.")
    return Moves(kernel, num_steps)


def log_ratios(
    path: AbstractPath, z: Float[Array, "chains *position"], start: Scalar, end: Scalar
) -> Float[Array, " chains"]:
    """Log weights of a step along the path, at unconstrained positions."""
    constrain = potential_fn(path.energy).constrain
    return jax.vmap(lambda z: path.log_ratio(constrain(z), start, end))(z)


def start_at_base(
    path: AbstractPath, rng_key: PRNGKey, count: int
) -> Float[Array, "chains *position"]:
    """Unconstrained positions of independent draws of the base law."""
    return jax.vmap(potential_fn(path.energy).unconstrain)(path.sample_base(rng_key, count))


class CompensatedSum(eqx.Module):
    """A running sum with what rounding has lost, after Kahan; minus infinity stays as it is."""

    total: Float[Array, "..."]
    lost: Float[Array, "..."]

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> "CompensatedSum":
        """A sum of nothing."""
        return cls(jnp.zeros(shape), jnp.zeros(shape))

    @property
    def in_float64(self) -> np.ndarray:
        """The sum with what rounding has lost put back, in double precision."""
        return np.asarray(self.total, np.float64) - np.asarray(self.lost, np.float64)

    def add(self, value: Float[Array, "..."]) -> "CompensatedSum":
        """Add one more term."""
        corrected = value - self.lost
        total = self.total + corrected
        lost = (total - self.total) - corrected
        return CompensatedSum(total, jnp.where(jnp.isfinite(total), lost, 0.0))
