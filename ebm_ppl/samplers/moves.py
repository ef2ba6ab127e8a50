"""Moves: some steps of a kernel, or of several that take turns, from where a point stands."""

import dataclasses
import functools
import inspect
from collections.abc import Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from ebm_ppl._checks import check_count, check_positive
from ebm_ppl._schedule import Schedule, check_positive_schedule, value_at
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._contract import run_recorded_chain

Kernels: TypeAlias = Any
"""A kernel class, any callable that takes `potential_fn=` and returns a kernel, `Moves`, or a sequence of
these, which take turns."""


class Moves(eqx.Module):
    r"""Some steps of a Markov kernel, or of several that take turns, from where a point stands.

    Whatever moves points by a kernel within a larger computation makes moves: the chains of contrastive
    divergence between two steps of training, those of annealed estimators between two temperatures, the
    auxiliary draws of the exchange algorithm. A kernel is made for the potential of the moment, takes its
    steps, and is dropped. It learns nothing from them: its step size is

    - a number, or a schedule of the step of training or of the inverse temperature, if `step_size` is given,
    - that with which the kernel is made, as in `functools.partial(MALA, step_size=0.1)`,
    - tuned by acceptance at every temperature of an annealed estimator, if neither is given,
    - the kernel's own default elsewhere.

    Several kernels take turns: in each of `num_steps` sweeps every one moves the point, in the order given.
    Those that leave a law invariant do so together. A turn may be of `Moves`, with step sizes and a number
    of steps of its own.

    Attributes:
        kernel: Kernel class, or callable with the argument `potential_fn`; or a sequence of these and of
            `Moves`, which take turns.
        num_steps: Number of steps or, if kernels take turns, of sweeps. A schedule is rounded, and is never
            below 1; its steps are made one by one: each costs a kernel one more evaluation of its gradient,
            and draws momenta afresh.
        step_size: Step size, a number or a schedule; the kernel's own if `None`.
        noise_scale: Standard deviation of `Langevin`'s noise, likewise.

    Raises:
        ValueError: If `kernel` is not callable or an empty sequence, a setting is not positive, or the
            kernel does not take it.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from ebm_ppl.samplers import MALA, Moves, RandomWalkMetropolis
        >>> moves = Moves(MALA, num_steps=10, step_size=optax.cosine_decay_schedule(0.1, 1000))
        >>> potential = lambda z: 0.5 * z**2
        >>> z, accept_prob = moves.run(potential, jnp.zeros(()), jax.random.key(0), step=500)
        >>> z.shape
        ()

        Two kernels that take turns, of which the second makes three long steps in each sweep:

        >>> turns = Moves((moves, Moves(RandomWalkMetropolis, 3, step_size=2.5)), num_steps=2)
        >>> len(turns.kernels(potential))
        2
    """

    kernel: Any = eqx.field(converter=lambda kernel: _as_turns(kernel))
    num_steps: Any = eqx.field(static=True, default=1)
    step_size: Schedule = None
    noise_scale: Schedule = None

    def __check_init__(self) -> None:
        if callable(self.num_steps):
            check_positive("num_steps", self.num_steps(0))
        else:
            check_count("num_steps", self.num_steps)
        for name, value in self._settings.items():
            check_positive_schedule(name, value)
            if self.take_turns:
                raise ValueError(
                    f"`{name}` must be given to each of the kernels that take turns, as in "
                    f"`Moves(kernel, {name}=...)`; got {value!r} for all of them."
                )
            if not _takes(self.kernel, name):
                raise ValueError(
                    f"`{name}` must be None for a kernel without such an argument; got {value!r} for "
                    f"{self.kernel!r}."
                )

    @property
    def take_turns(self) -> bool:
        """Whether several kernels move a point one after the other."""
        return isinstance(self.kernel, tuple)

    @property
    def is_tunable(self) -> bool:
        """Whether there is one kernel, which takes a step size, and none has been given."""
        if self.take_turns or self.step_size is not None:
            return False
        fixed = self.kernel.keywords if isinstance(self.kernel, functools.partial) else {}
        return _takes(self.kernel, "step_size") and "step_size" not in fixed

    def kernels(self, potential_fn: PotentialFn, step: Any = 0) -> list[Any]:
        """The kernels for a potential, in the order of their turns.

        Args:
            potential_fn: The potential.
            step: Where schedules are read.
        """
        if self.take_turns:
            return [one for turn in self.kernel for one in turn.kernels(potential_fn, step)]
        given = {name: value_at(value, step) for name, value in self._settings.items()}
        return [self.kernel(potential_fn=potential_fn, **given)]

    def run(
        self, potential_fn: PotentialFn, z: Position, rng_key: PRNGKey, step: Any = 0
    ) -> tuple[Position, Scalar]:
        """Move one point; `jax.vmap` moves many. Call it within a function that `jax.jit` compiles.

        Args:
            potential_fn: The potential.
            z: Unconstrained position.
            rng_key: Random key.
            step: Where schedules are read: the step of training, or the inverse temperature.

        Returns:
            The position after, and the mean acceptance probability of all turns.
        """
        z, record = self.run_recorded(potential_fn, z, rng_key, step)
        return z, record["accept_prob"]

    def run_recorded(
        self, potential_fn: PotentialFn, z: Position, rng_key: PRNGKey, step: Any = 0
    ) -> tuple[Position, dict[str, Scalar]]:
        """As `run`, with all that is to be known of the steps.

        Args:
            potential_fn: The potential.
            z: Unconstrained position.
            rng_key: Random key.
            step: Where schedules are read.

        Returns:
            The position after, and means by name: `accept_prob` over all turns, and the departures of
            unadjusted kernels, such as `clipped_moves` and `at_box` of `Langevin`, over the turns that
            have them.
        """
        if not (self.take_turns or callable(self.num_steps)):
            [kernel] = self.kernels(potential_fn, step)
            return run_recorded_chain(kernel, z, self.num_steps, rng_key)

        def sweep(number: Any, carry: tuple[Position, Any]) -> tuple[Position, Any]:
            z, total = carry
            key = jax.random.fold_in(rng_key, number)
            z, record = self._sweep(potential_fn, z, key, step)
            return z, jax.tree.map(jnp.add, total, record)

        count = self._count_at(step)
        shapes = jax.eval_shape(lambda z: self._sweep(potential_fn, z, rng_key, step)[1], z)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        z, total = jax.lax.fori_loop(0, count, sweep, (z, zeros))
        return z, jax.tree.map(lambda value: value / count, total)

    def repeated(self, num_times: int) -> "Moves":
        """All of these moves, so many times.

        Args:
            num_times: How many times.
        """
        count = self.num_steps
        many = _Multiple(count, num_times) if callable(count) else num_times * count
        return self if num_times == 1 else dataclasses.replace(self, num_steps=many)

    def _sweep(
        self, potential_fn: PotentialFn, z: Position, rng_key: PRNGKey, step: Any
    ) -> tuple[Position, dict[str, Scalar]]:
        """One step of the kernel, or one turn of each."""
        if not self.take_turns:
            [kernel] = self.kernels(potential_fn, step)
            return run_recorded_chain(kernel, z, 1, rng_key)
        records = []
        keys = jax.random.split(rng_key, len(self.kernel))
        for turn, key in zip(self.kernel, keys, strict=True):
            z, record = turn.run_recorded(potential_fn, z, key, step)
            records.append(record)
        return z, _means(records)

    def _count_at(self, step: Any) -> Any:
        """How many steps or sweeps, where schedules are read."""
        if not callable(self.num_steps):
            return self.num_steps
        return jnp.maximum(jnp.round(jnp.asarray(self.num_steps(step))), 1).astype(int)

    @property
    def _settings(self) -> dict[str, Schedule]:
        """What has been given of what a kernel may be made with."""
        settings = {"step_size": self.step_size, "noise_scale": self.noise_scale}
        return {name: value for name, value in settings.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class _Multiple:
    """A schedule times a number; alike ones are equal, so that programs compiled for one serve the other."""

    schedule: Schedule
    factor: int

    def __call__(self, step: Any) -> Any:
        return self.factor * self.schedule(step)


def as_moves(kernel: Kernels, num_steps: int) -> Moves:
    """Read a kernel, several that take turns, or `Moves`, all to be made so many times."""
    check_count("num_steps", num_steps)
    moves = kernel if isinstance(kernel, Moves) else Moves(kernel)
    return moves.repeated(num_steps)


def _means(records: Sequence[dict[str, Scalar]]) -> dict[str, Scalar]:
    """The mean of each name over the records that have it."""
    names = {name: None for record in records for name in record}
    found = {name: [record[name] for record in records if name in record] for name in names}
    return {name: jnp.mean(jnp.stack(values)) for name, values in found.items()}


def _as_turns(kernel: Kernels) -> Any:
    """A kernel as it is, or a tuple of `Moves` of those that take turns."""
    if isinstance(kernel, Moves):
        return (kernel,)
    if isinstance(kernel, Sequence) and not isinstance(kernel, str):
        if not kernel:
            raise ValueError("`kernel` must name at least one kernel; got none.")
        first, *others = kernel
        if others or isinstance(first, Moves):
            return tuple(turn if isinstance(turn, Moves) else Moves(turn) for turn in kernel)
        return _as_turns(first)
    if not callable(kernel):
        raise ValueError(f"`kernel` must be a kernel class or callable; got {kernel!r}.")
    return kernel


def _takes(kernel: Any, name: str) -> bool:
    """Whether a kernel is made with an argument of that name."""
    return name in inspect.signature(kernel).parameters
