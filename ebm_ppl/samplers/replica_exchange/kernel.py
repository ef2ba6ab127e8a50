"""Replica exchange, also known as parallel tempering."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._checks import check_count, check_flag
from ebm_ppl._forks import check_not_forked
from ebm_ppl._numpyro import is_prng_key
from ebm_ppl._processes import on_host
from ebm_ppl._random import step_key
from ebm_ppl._types import Position, PRNGKey
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyModel, EnergyPotential
from ebm_ppl.samplers._numpyro import (
    AbstractModelKernel,
    CompiledOnce,
    Health,
    ModelArgs,
    ModelKwargs,
    ModelSource,
    PotentialSource,
    PriorSource,
    as_floating,
    check_finite_start,
    check_returns_scalar,
    flat_positions,
    has_no_coordinates,
    split_in_three,
)
from ebm_ppl.samplers._numpyro import (
    no_record as no_run_record,
)
from ebm_ppl.samplers.replica_exchange.bases import PriorBase, Registered, Source, as_base
from ebm_ppl.samplers.replica_exchange.ladder import (
    ExchangeRecord,
    LadderState,
    as_ladder,
    next_ladder,
    no_draws,
    no_record,
    round_ends,
)
from ebm_ppl.samplers.replica_exchange.levels import (
    AbstractLevels,
    keys_of_levels,
    levels_of,
    target_of,
)
from ebm_ppl.samplers.replica_exchange.state import ReplicaExchangeState
from ebm_ppl.samplers.replica_exchange.step import exchange
from ebm_ppl.samplers.replica_exchange.tempering import AbstractTempering, can_draw, cast_like


class ReplicaExchange(AbstractModelKernel):
    r"""Non-reversible parallel tempering over any kernel.

    Replicas of the chain stand at inverse temperatures $0 = \beta_0 < \dots < \beta_N = 1$, the $k$-th with
    the potential

    $$U_\beta(z) = (1 - \beta)\, U_0(z) + \beta\, U(z), \qquad \beta = \beta_k,$$

    between a base law $e^{-U_0}$ and the target. In each step the inner kernel moves all of them, except that
    at $\beta = 0$ there is an independent draw of the base law. Then neighbours exchange their positions,
    the pairs that begin at even and at odd levels by turns, with probability

    $$\min\left(1, e^{U_k(z_k) + U_{k+1}(z_{k+1}) - U_k(z_{k+1}) - U_{k+1}(z_k)}\right).$$

    So the joint law of all replicas is invariant, whatever the ladder, and draws of the base law travel to
    $\beta = 1$ past the barriers between modes. With turns in a fixed order they travel straight on rather
    than wander, and more levels do not slow them down. Draws are those of the replica at $\beta = 1$.

    Warm-up places the levels. The rejection of exchanges adds up to a communication barrier $\Lambda$ along
    the ladder; in rounds that double in length up to the middle of warm-up, levels are put where all
    rejections would be alike, and then the inner kernel settles on them. All chains of a vectorised run
    share one ladder, learned from all of them; with `chain_method="sequential"` each has its own. Nothing
    adapts once warm-up has ended.

    `mcmc.last_state` has the properties `barrier`, `acceptance` (of each pair) and `round_trip_rate`;
    [`exchange_estimate`][ebm_ppl.partition.exchange_estimate] makes of it an estimate of $\log Z$.
    `extra_fields` may name `exchange_prob`, `walkers` and `record.round_trips`, among others.

    Args:
        inner_kernel: The kernel that moves the replicas, made as if it ran alone, with its `model` or
            `potential_fn`: one of this package, or NumPyro's HMC, NUTS or BarkerMH. One of this package has
            at each level a step size and mass matrix of its own, learned from all chains.
        base: The base law. By default, for a NumPyro model it is the prior (observed sites and factors are
            tempered, and $Z$ is the evidence). For an energy of real points, and for any other potential,
            scouts look for modes as warm-up begins: at up to 200,000 points as far as 2,000 units away, of
            which some 400 walk downhill. The base law is then a mixture, in unconstrained coordinates, of
            normal laws about the eight heaviest modes and of one about all, with a tenth of
            [`default_base`][ebm_ppl.annealing.default_base]. That law alone is the base of more than 64
            coordinates, of potentials without second derivatives, and without warm-up; discrete energies
            have the path that is theirs elsewhere. For an energy, a normalised NumPyro distribution
            on its support, or a path to the energy; for a model or potential, a distribution over the flat
            unconstrained position. The wider it is, the surer it is to cover the target, and the longer the
            ladder. One that is given is used as it is.
        num_replicas: Number of levels, of which about $2 \Lambda + 1$ serve best; 8 by default.
        inverse_temperatures: The levels in rising order from 0 to 1, at which warm-up begins.
        num_steps: Number of steps of the inner kernel between exchanges.
        adapt_ladder: Whether warm-up places the levels.
        adapt_base: Whether warm-up makes the base law a normal one with the means and variances that the
            draws have had, coordinate by coordinate, beginning with those of `base`. The ladder can then be
            much shorter (Surjanovic et al. 2022), but a mode that no chain has met in warm-up may be lost.

    Raises:
        ValueError: If an argument is outside its bounds, the inner kernel is none of those, or the base law
            has another shape or support than the target.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from numpyro.infer import MCMC
        >>> from ebm_ppl.energies import DoubleWell
        >>> from ebm_ppl.potentials import as_model
        >>> from ebm_ppl.samplers import MALA, ReplicaExchange
        >>> kernel = ReplicaExchange(
        ...     MALA(as_model(DoubleWell(barrier_height=12.0))), num_replicas=4
        ... )
        >>> mcmc = MCMC(
        ...     kernel,
        ...     num_warmup=500,
        ...     num_samples=500,
        ...     num_chains=16,
        ...     chain_method="vectorized",
        ...     progress_bar=False,
        ... )
        >>> mcmc.run(jax.random.key(0))
        >>> print(f"{(mcmc.get_samples()['x'] > 0).mean():.1f}")  # by symmetry a half
        0.5
        >>> bool(mcmc.last_state.round_trip_rate > 0.05)
        True

    References:
        S. Syed, A. Bouchard-Côté, G. Deligiannidis and A. Doucet (2022). Non-reversible parallel tempering:
        a scalable highly parallel MCMC scheme. *Journal of the Royal Statistical Society B* 84(2).
        T. Okabe, M. Kawata, Y. Okamoto and M. Mikami (2001). Replica-exchange Monte Carlo method for the
        isobaric-isothermal ensemble. *Chemical Physics Letters* 335.
        C. J. Geyer (1991). Markov chain Monte Carlo maximum likelihood. *Computing Science and Statistics:
        the 23rd Symposium on the Interface*.
        N. Surjanovic, S. Syed, A. Bouchard-Côté and T. Campbell (2022). Parallel tempering with a
        variational reference. *Advances in Neural Information Processing Systems* 35.
    """

    takes_discrete = True

    def __init__(
        self,
        inner_kernel: MCMCKernel,
        base: Any = None,
        num_replicas: int | None = None,
        inverse_temperatures: Any = None,
        num_steps: int = 1,
        adapt_ladder: bool = True,
        adapt_base: bool = False,
    ) -> None:
        self._levels = levels_of(inner_kernel)
        self._inner = inner_kernel
        super().__init__(*target_of(inner_kernel))
        check_count("num_steps", num_steps)
        check_flag("adapt_ladder", adapt_ladder)
        check_flag("adapt_base", adapt_base)
        self._inverse_temperatures = as_ladder(inverse_temperatures, num_replicas)
        self._num_steps = num_steps
        self._adapt_ladder = adapt_ladder
        self._given_base = base
        self._registered = _registered(self._source)
        prior = None if self._registered is not None else _prior(self._source)
        self._base = as_base(base, self._registered, prior, adapts=adapt_base)
        if isinstance(self._base, PriorBase):
            self._source = self._base.source
        self._num_warmup = 0
        self._is_batched = False
        self._start = CompiledOnce()

    @property
    def exact(self) -> bool:
        """Whether the target is invariant: if it is so of the inner kernel."""
        return getattr(self._inner, "exact", True)

    @property
    def energy(self) -> AbstractEnergy | None:
        """The energy at inverse temperature 1; `None` for other models and potentials."""
        return None if self._registered is None else self._registered.energy

    def points(self, draws: Any) -> Float[Array, "chains draws *event"]:
        """Draws of an energy, as `MCMC.get_samples` gives them by chain, in its support.

        Args:
            draws: Draws at the energy's site, or unconstrained ones of its potential.

        Raises:
            ValueError: If the target is no energy.
        """
        if self._registered is None:
            raise ValueError(
                "`inner_kernel` must be one of an energy for its draws to have points."
            )
        energy, site = self._registered
        if site is not None:
            return jnp.asarray(draws[site])
        return jax.vmap(jax.vmap(EnergyPotential(energy).constrain))(jnp.asarray(draws))

    @property
    def iterations_per_step(self) -> int:
        """Steps of the inner kernel in a step of this one."""
        return self._num_steps

    @property
    def gradient_evaluations_per_step(self) -> int:
        """Gradients that a step costs at all levels, if the inner kernel is one of this package."""
        inner: int = getattr(self._inner, "gradient_evaluations_per_step", 1)
        if inner == 0:
            return 0
        return (inner * self._num_steps + 1) * (len(self._inverse_temperatures) - 1)

    @property
    def potential_evaluations_per_step(self) -> int:
        """Potentials that a step costs at all levels, if the inner kernel is one of this package."""
        inner: int = getattr(self._inner, "potential_evaluations_per_step", 1)
        num_moved = len(self._inverse_temperatures) - 1
        return (inner * self._num_steps + 2) * num_moved + 1

    @property
    def is_ensemble_kernel(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the last `init` was of a vectorised run, whose chains share what warm-up learns."""
        return self._is_batched

    def wrap_model(self, wrapper: Callable) -> "ReplicaExchange":
        """Copy of this kernel for the model `wrapper(model)`; it needs its own `init`.

        Raises:
            ValueError: If the inner kernel was built from a potential function.
        """
        kernel = super().wrap_model(wrapper)
        assert isinstance(kernel, ReplicaExchange)  # for the type checker
        kernel._registered = None
        prior = kernel._source if isinstance(kernel._source, PriorSource) else None
        kernel._base = as_base(self._given_base, None, prior, adapts=self._base.is_learned)
        kernel._start = CompiledOnce()
        return kernel

    def init(
        self,
        rng_key: PRNGKey,
        num_warmup: int,
        init_params: Any = None,
        model_args: ModelArgs = (),
        model_kwargs: ModelKwargs = None,
    ) -> ReplicaExchangeState:
        """Make the initial state of one ladder, or of all ladders if `rng_key` is a batch of keys.

        Args:
            rng_key: Random key, or a batch of them, one per chain.
            num_warmup: Number of warm-up steps.
            init_params: Initial unconstrained position, of all levels alike, with a leading axis over chains
                for a batch of keys; needed with `potential_fn`.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.

        Returns:
            The initial state.

        Raises:
            ValueError: If the initial position is missing, malformed, or its potential is not
                finite; if the base law does not fit it; if the model has no latent site.
        """
        check_not_forked()
        check_count("num_warmup", num_warmup, 0)
        self._is_batched, self._num_warmup = not is_prng_key(rng_key), num_warmup
        over_chains = jax.vmap if self._is_batched else lambda function: function
        rng_key, key_position, key_levels = over_chains(split_in_three)(rng_key)
        z = self._source.initialise(key_position, init_params, model_args, model_kwargs)
        z = as_floating(z, rng_key.shape[:1] if self._is_batched else ())
        if has_no_coordinates(z):
            raise ValueError(
                "`inner_kernel` must have something to move; got a model without latent sites. Run the inner "
                "kernel by itself: its draws hold the deterministic sites."
            )
        like = jax.tree.map(lambda leaf: leaf[0], z) if self._is_batched else z
        check_returns_scalar(self.get_potential_fn(model_args, model_kwargs), like)

        def start(rng_key: PRNGKey, key_levels: PRNGKey, z: Position) -> ReplicaExchangeState:
            return self._first_state(rng_key, key_levels, z, model_args, model_kwargs)

        closed_over = (num_warmup, self._is_batched, model_args, model_kwargs)
        state = self._start(start, closed_over)(rng_key, key_levels, z)
        check_finite_start(state.potential_energy)
        return state

    def _first_state(
        self,
        rng_key: PRNGKey,
        key_levels: PRNGKey,
        z: Position,
        model_args: ModelArgs,
        model_kwargs: ModelKwargs,
    ) -> ReplicaExchangeState:
        over_chains = jax.vmap if self._is_batched else lambda function: function
        chains = rng_key.shape[:1] if self._is_batched else ()
        like = jax.tree.map(lambda leaf: leaf[0], z) if self._is_batched else z
        flat = ravel_pytree(like)[0]
        potential_fn = self.get_potential_fn(model_args, model_kwargs)
        potential_energy = jnp.asarray(over_chains(potential_fn)(z), flat.dtype)
        inverse_temperatures = jnp.asarray(self._inverse_temperatures, flat.dtype)
        num_levels = len(inverse_temperatures)
        positions = flat_positions(z, chains)
        target = self._base.target(self._source, model_args, model_kwargs)
        has_warmup = self._num_warmup > 0
        base = self._base.first(positions, like, target, has_warmup=has_warmup)
        ladder = LadderState(
            inverse_temperatures,
            jnp.zeros_like(inverse_temperatures[1:]),
            jnp.zeros((), flat.dtype),
            base,
            no_draws(base),
            jnp.asarray(round_ends(self._num_warmup)),
        )
        tempering = self._tempering(model_args, model_kwargs, ladder, like)
        ladder = ladder._replace(log_z_base=jnp.asarray(tempering.log_z_base, flat.dtype))
        num_moved = num_levels - can_draw(tempering)
        keys = keys_of_levels(key_levels, 0, num_moved, self._is_batched)
        inner = self._at_levels(tempering, inverse_temperatures[-num_moved:]).init(keys, z)
        zeros = jnp.zeros_like(potential_energy)
        return ReplicaExchangeState(
            z=z,
            potential_energy=potential_energy,
            accept_prob=zeros,
            mean_accept_prob=zeros,
            diverging=jnp.zeros(chains, bool),
            exchange_prob=jnp.zeros((*chains, num_levels - 1), flat.dtype),
            walkers=jnp.broadcast_to(jnp.arange(num_levels), (*chains, num_levels)),
            is_heated=jnp.broadcast_to(jnp.arange(num_levels) == 0, (*chains, num_levels)),
            record=no_record(chains, num_levels - 1, flat.dtype),
            rng_key=rng_key,
            iteration=jnp.asarray(0),
            inner=inner,
            ladder=ladder,
            health=self._healthy(flat, zeros),
        )

    def sample(
        self,
        state: ReplicaExchangeState,
        model_args: ModelArgs = (),
        model_kwargs: ModelKwargs = None,
    ) -> ReplicaExchangeState:
        """Move all replicas of every ladder in `state`, and let them exchange their positions.

        Args:
            state: The state before.
            model_args: Arguments of the model.
            model_kwargs: Keyword arguments of the model.

        Returns:
            The state after.
        """
        is_batched = state.potential_energy.ndim > 0
        over_chains = jax.vmap if is_batched else lambda function: function
        like = jax.tree.map(lambda leaf: leaf[0], state.z) if is_batched else state.z
        ladder, num_pairs = state.ladder, state.exchange_prob.shape[-1]
        inverse_temperatures = ladder.inverse_temperatures
        tempering = self._tempering(model_args, model_kwargs, ladder, like)
        num_moved = state.inner.potential_energy.shape[0]
        levels = self._at_levels(tempering, inverse_temperatures[-num_moved:])
        # Three numbers in a row: one for the moves, one for the base law, one for exchanges.
        number = 3 * state.iteration
        key_base, key_exchange = (
            over_chains(lambda key, part=part: step_key(key, number + part))(state.rng_key)
            for part in (1, 2)
        )

        keys = keys_of_levels(state.rng_key, number, num_moved, is_batched)
        inner = levels.move(keys, state.inner, self._num_steps)
        parity = state.iteration & 1
        z = inner.z
        if num_moved == num_pairs:
            # At odd turns nobody asks what stands at the base.
            draw = lambda: cast_like(over_chains(tempering.draw)(key_base), state.z)  # noqa: E731
            hottest = lax.cond(parity == 0, draw, lambda: state.z)
            z = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), hottest, z)
        dtype = inverse_temperatures.dtype
        uniform = over_chains(lambda key: jax.random.uniform(key, (num_pairs,), dtype))(
            key_exchange
        )
        with_chains = (lambda leaf: leaf) if is_batched else (lambda leaf: leaf[..., None])
        after = exchange(
            tempering,
            inverse_temperatures,
            ladder.log_z_steps,
            parity,
            with_chains(uniform.T),
            (
                z if is_batched else jax.tree.map(lambda leaf: leaf[:, None], z),
                with_chains(state.walkers.T),
                with_chains(state.is_heated.T),
            ),
            self.log_acceptance,
        )
        chains_first = (lambda leaf: leaf.T) if is_batched else (lambda leaf: leaf[..., 0])
        z = after.z if is_batched else jax.tree.map(lambda leaf: leaf[:, 0], after.z)
        accept_prob = chains_first(after.accept_prob)
        record = state.record.add(
            after.in_turn,
            accept_prob,
            chains_first(after.up),
            chains_first(after.down),
            chains_first(after.arrived),
        )
        target_z = jax.tree.map(lambda leaf: leaf[-1], z)
        if ladder.round_ends.size:
            ladder, record = lax.cond(
                state.iteration < ladder.num_warmup,
                lambda: self._learn(ladder, record, state.iteration, target_z, is_batched),
                lambda: (ladder, record),
            )
            tempering = self._tempering(model_args, model_kwargs, ladder, like)
            levels = self._at_levels(tempering, ladder.inverse_temperatures[-num_moved:])
        inner = levels.place(inner, jax.tree.map(lambda leaf: leaf[-num_moved:], z))
        return ReplicaExchangeState(
            z=target_z,
            potential_energy=inner.potential_energy[-1],
            accept_prob=inner.accept_prob[-1],
            mean_accept_prob=inner.mean_accept_prob[-1],
            diverging=inner.diverging[-1] if hasattr(inner, "diverging") else state.diverging,
            exchange_prob=jnp.where(after.in_turn, accept_prob, state.exchange_prob),
            walkers=chains_first(after.walkers),
            is_heated=chains_first(after.is_heated),
            record=record,
            rng_key=state.rng_key,
            iteration=state.iteration + 1,
            inner=inner,
            ladder=ladder,
            health=self._health_after(state.health, record, target_z, inner.potential_energy[-1]),
        )

    def _healthy(self, flat: Float[Array, " dim"], zeros: Float[Array, "*chains"]) -> Health:
        """What is known of a run before its first step: acceptance is the inner kernel's affair."""
        zero = jnp.zeros((), flat.dtype)
        is_real = self._registered is None or not self._registered.energy.support.is_discrete
        return Health(
            type(self).__name__,
            None,
            jnp.asarray(-self._num_warmup),
            jnp.ones_like(zeros),
            zeros,
            jnp.asarray(False),
            zero,
            no_run_record(flat, zeros) if is_real else None,
            jnp.zeros(zeros.shape, int),
        )

    def _health_after(
        self,
        health: Health,
        exchanges: ExchangeRecord,
        z: Position,
        potential_energy: Float[Array, "*chains"],
    ) -> Health:
        """What is known of a run after a step."""
        num_steps, record = health.num_steps + 1, health.record
        if record is not None:
            positions = flat_positions(z, potential_energy.shape)
            momentless = jnp.full_like(potential_energy, jnp.nan)
            record = record.add(positions, jnp.ones_like(record.center), momentless, num_steps)
        trips = exchanges.round_trips
        return dataclasses.replace(health, num_steps=num_steps, record=record, round_trips=trips)

    def log_acceptance(
        self, hotter: Float[Array, "..."], colder: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        r"""Log acceptance ratio of an exchange between neighbours.

        Args:
            hotter: $U_k(z_k) - U_{k+1}(z_k)$.
            colder: $U_{k+1}(z_{k+1}) - U_k(z_{k+1})$.

        Returns:
            Their sum.
        """
        return hotter + colder

    def refresh(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state: ReplicaExchangeState, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> ReplicaExchangeState:
        """Evaluate the potentials of all replicas anew, for other model arguments."""
        is_batched = state.potential_energy.ndim > 0
        like = jax.tree.map(lambda leaf: leaf[0], state.z) if is_batched else state.z
        tempering = self._tempering(model_args, model_kwargs, state.ladder, like)
        num_moved = state.inner.potential_energy.shape[0]
        levels = self._at_levels(tempering, state.ladder.inverse_temperatures[-num_moved:])
        inner = levels.place(state.inner, state.inner.z)
        return state._replace(inner=inner, potential_energy=inner.potential_energy[-1])

    def get_diagnostics_str(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state: ReplicaExchangeState
    ) -> str:
        """Mean acceptance probabilities, over all chains, for the progress bar."""
        accept_prob = float(np.mean(on_host(state.mean_accept_prob)))
        exchange_prob = float(np.mean(on_host(state.acceptance)))
        return f"acc. prob={accept_prob:.2f}, of exchanges {exchange_prob:.2f}"

    def _learn(
        self,
        ladder: LadderState,
        record: ExchangeRecord,
        iteration: Int[Array, ""],
        z: Position,
        is_batched: bool,
    ) -> tuple[LadderState, ExchangeRecord]:
        """Count a step of warm-up; at the end of a round, place the levels anew."""
        if self._base.is_learned:
            chains = jax.tree.leaves(z)[0].shape[:1] if is_batched else ()
            ladder = ladder.add(flat_positions(z, chains))

        def end_round() -> tuple[LadderState, ExchangeRecord]:
            means = jax.tree.map(lambda leaf: jnp.mean(leaf, 0), record) if is_batched else record
            is_last = iteration + 1 == ladder.num_warmup
            new = next_ladder(
                ladder, means, is_last, levels=self._adapt_ladder, base=self._base.is_learned
            )
            return new, jax.tree.map(jnp.zeros_like, record)

        is_end = jnp.any(iteration == ladder.round_ends)
        return lax.cond(is_end, end_round, lambda: (ladder, record))

    def _at_levels(
        self, tempering: AbstractTempering, inverse_temperatures: Float[Array, " levels"]
    ) -> AbstractLevels:
        num_warmup = self._num_warmup * self._num_steps
        return self._levels(self._inner, tempering.potential, inverse_temperatures, num_warmup)

    def _tempering(
        self,
        model_args: ModelArgs,
        model_kwargs: ModelKwargs,
        ladder: LadderState,
        like: Position,
    ) -> AbstractTempering:
        """The potentials between base law and target under these model arguments."""
        target = self._base.target(self._source, model_args, model_kwargs)
        return self._base.tempering(ladder.base, like, target, model_args, model_kwargs)


def _registered(source: Source) -> Registered | None:
    """The energy that a kernel was made for, if it is one of ours."""
    made_for = source.potential_fn() if isinstance(source, PotentialSource) else source.model
    if not isinstance(made_for, (EnergyModel, EnergyPotential)):
        return None
    return Registered(made_for.energy, made_for.name if isinstance(made_for, EnergyModel) else None)


def _prior(source: Source) -> PriorSource | None:
    """Where the priors of a model come from."""
    return PriorSource.like(source) if isinstance(source, ModelSource) else None
