"""How chains move along a path, and how their weights add up."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.energies import AbstractBlockwiseEnergy
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import MALA, BlockGibbs, GibbsWithGradients, Moves
from ebm_ppl.samplers.moves import Kernels, as_moves


def moves_along(kernel: Kernels, num_steps: int, path: AbstractPath) -> Moves:
    """Read a kernel, or choose one: MALA or, of discrete points, Gibbs, by blocks if the path allows.

    Raises:
        ValueError: If it is no kernel, or one of several that take turns brings no step size.
    """
    if kernel is not None:
        moves = as_moves(kernel, num_steps)
        _check_step_sizes(moves)
        return moves
    middle = jax.eval_shape(lambda: path.at(jnp.asarray(0.5)))
    if isinstance(middle, AbstractBlockwiseEnergy):
        return as_moves(BlockGibbs, num_steps)
    is_discrete = path.energy.support.is_discrete
    return as_moves(GibbsWithGradients if is_discrete else MALA, num_steps)


def _check_step_sizes(moves: Moves) -> None:
    """Refuse kernels that take turns with a step size that nobody gives or tunes."""
    for turn in moves.kernel if moves.take_turns else ():
        _check_step_sizes(turn)
        if turn.is_tunable:
            raise ValueError(
                "`kernel` must bring a step size for each of several kernels, as in "
                "`Moves(kernel, step_size=...)`, since that of a single one alone is tuned; got "
                f"{turn.kernel!r}."
            )


def move_all(
    path: AbstractPath,
    moves: Moves,
    inverse_temperature: Scalar,
    step_size: Scalar | None,
    z: Float[Array, "chains *position"],
    rng_key: PRNGKey,
) -> tuple[Float[Array, "chains *position"], Scalar]:
    """Move every chain; return where they stand and the mean acceptance probability."""
    potential = potential_fn(path.at(inverse_temperature))
    if step_size is not None:
        moves = dataclasses.replace(moves, step_size=step_size)

    def move(z: Array, rng_key: PRNGKey) -> tuple[Array, Scalar]:
        return moves.run(potential, z, rng_key, inverse_temperature)

    z, accept_prob = jax.vmap(move)(z, jax.random.split(rng_key, len(z)))
    return z, jnp.mean(accept_prob)


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
