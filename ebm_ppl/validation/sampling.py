"""One run of a kernel with warm-up, timed without compilation, beside the truth.

The kernel is driven through `init` and `sample`, as `numpyro.infer.MCMC` drives it, but in one compiled
loop: MCMC compiles its own anew for warm-up and for every run.
"""

import dataclasses
import operator
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.quadrature import QuadratureDensity
from ebm_ppl.validation.cases import KernelCase
from ebm_ppl.validation.chains import batch_functions
from ebm_ppl.validation.family import Member
from ebm_ppl.validation.truth import constrain, probability_transform

NUM_CHAINS = 16
NUM_BLOCKS = 2
"""Blocks of draws in a run, of which only the last is timed: the first may still compile."""
NUM_SAMPLES = 500
"""Draws kept of each chain in each block."""

EDGE = 1e-4
"""Over-dispersed starts are spread evenly between these extreme quantiles of the truth."""


@dataclasses.dataclass(frozen=True)
class SamplingRun:
    """Draws of a run and what it learned.

    Attributes:
        draws: Draws in the support, flat, shape `(chains, samples, dim)`.
        energies: Energy of each draw, shape `(chains, samples)`.
        u: Probability integral transform of the draws, or `None` without a ground truth.
        step_size: Median step size after warm-up; NaN if the kernel has none.
        seconds: Wall-clock time of the timed block, beside other checks and with few of XLA's optimisations:
            to compare kernels within a report.
        accept_prob: Mean reported acceptance probability.
        evaluations: Transitions, or what the kernel's `evaluations_field` counts, behind all kept draws.
        kernel: The kernel that ran.
    """

    draws: Float[np.ndarray, "chains samples dim"]
    energies: Float[np.ndarray, "chains samples"]
    u: Float[np.ndarray, "chains samples dim"] | None
    step_size: float
    seconds: float
    accept_prob: float
    evaluations: float
    kernel: MCMCKernel


@eqx.filter_jit
def _energies(energy: AbstractEnergy, points: Float[Array, "n *event"]) -> Float[Array, " n"]:
    """Energies of points; compiled once for all kernels on an energy."""
    return jax.vmap(energy)(points)


def over_dispersed_starts(
    potential: EnergyPotential, density: QuadratureDensity | None, num_chains: int
) -> jax.Array:
    """Unconstrained starts spread over the whole range of the truth; around 0 where there is none.

    Of a discrete energy, states drawn uniformly.
    """
    space = StateSpace.of(potential.energy)
    if space is not None:
        return jax.vmap(space.draw)(jax.random.split(jax.random.key(0), num_chains))
    shape = (num_chains, *potential.position_shape)
    if density is None:
        return 2.0 * jax.random.normal(jax.random.key(0), shape)
    # Evenly spread levels, in another order along each coordinate, so that chains start apart; the
    # second is conditional on the first, so that none starts where the target has no mass to speak of.
    order = np.random.default_rng(0).permuted(
        np.tile(np.arange(num_chains), (density.dim, 1)), axis=1
    )
    levels = EDGE + (1 - 2 * EDGE) * order.T / (num_chains - 1)
    points = (
        density.quantile(levels[:, 0]) if density.dim == 1 else density.inverse_rosenblatt(levels)
    )
    return jnp.asarray(
        potential.unconstrain(jnp.asarray(points).reshape(-1, *density.energy.event_shape))
    )


class _Programs:
    """Start and block of a kernel on the members of a family."""

    def __init__(self, case: KernelCase, member: Member, num_samples: int) -> None:
        self._case = case
        self._family = member.family
        self._num_samples = num_samples
        self.fields = ["accept_prob"]
        self.fields += [case.evaluations_field] if case.evaluations_field else []
        self.start = self._family.program(("start", id(case), num_samples), self._start)
        # One compiled block serves warm-up and sampling, as kernels know themselves when warm-up ends.
        self.block = self._family.program(("block", id(case), num_samples), self._block)

    def _functions(self, index: Array) -> tuple[Callable[..., Any], Callable[[Any], Any]]:
        # Built while tracing: NumPyro's kernels keep closures from their last `init`.
        kernel = self._case.make(self._family.member(index))
        num_warmup = self._num_samples * self._case.thinning
        return batch_functions(kernel, self._case.batched, num_warmup)

    def _start(self, index: Array, keys: PRNGKey, starts: Array) -> Any:
        return self._functions(index)[0](keys, starts)

    def _block(
        self, index: Array, keys: PRNGKey, starts: Array, state: Any
    ) -> tuple[Any, dict[str, Array]]:
        init, sample = self._functions(index)
        jax.eval_shape(init, keys, starts)  # from which `sample` learns what it calls

        def keep(state: Any, _: None) -> tuple[Any, dict[str, Array]]:
            state = jax.lax.fori_loop(0, self._case.thinning, lambda _, s: sample(s), state)
            kept = {name: operator.attrgetter(name)(state) for name in self.fields}
            return state, {"z": state.z} | kept

        return jax.lax.scan(keep, state, None, length=self._num_samples)


def run_kernel(
    case: KernelCase,
    potential: EnergyPotential | Member,
    density: QuadratureDensity | None,
    rng_key: jax.Array,
    *,
    num_chains: int = NUM_CHAINS,
    num_samples: int = NUM_SAMPLES,
) -> SamplingRun:
    """Warm a kernel up from over-dispersed starts and draw two blocks.

    Args:
        case: The kernel.
        potential: Potential of the target, alone or as the member of a family.
        density: Ground truth, or `None`.
        rng_key: Random key.
        num_chains: Number of chains, run as one vectorised batch.
        num_samples: Draws kept in each of the two blocks.
    """
    member = potential if isinstance(potential, Member) else Member.alone(potential)
    potential = member.potential
    programs = _Programs(case, member, num_samples)
    starts = over_dispersed_starts(potential, density, num_chains)
    starts = starts.reshape(num_chains, *member.family.position_shape)
    given = (jnp.asarray(member.index), jax.random.split(rng_key, num_chains), starts)
    state, _ = programs.block(*given, programs.start(*given))
    blocks, seconds = [], 0.0
    for _ in range(NUM_BLOCKS):
        began = time.perf_counter()
        state, kept = jax.block_until_ready(programs.block(*given, state))
        seconds = time.perf_counter() - began
        blocks.append(jax.device_get(kept))
    joined = {
        name: np.swapaxes(np.concatenate([kept[name] for kept in blocks]), 0, 1)
        for name in blocks[0]
    }
    z = joined["z"].reshape(-1, potential.energy.event_size)
    shape = (num_chains, NUM_BLOCKS * num_samples)
    if density is None:
        positions = jnp.asarray(z).reshape(-1, *potential.position_shape)
        support = jax.vmap(potential.constrain)(positions)
        draws, u = np.asarray(support), None
    else:
        draws = constrain(density, z)
        u = probability_transform(density, draws).reshape(*shape, -1)
    draws = draws.reshape(*shape, -1)
    per_draw = joined[case.evaluations_field] if case.evaluations_field else np.ones(shape)
    adaptation = case.adaptation(state)
    step_size = np.nan if adaptation is None else float(np.median(adaptation.step_size))
    points = draws.reshape(-1, *potential.energy.event_shape)
    energies = np.asarray(_energies(potential.energy, jnp.asarray(points, dtype=float)))
    return SamplingRun(
        draws=draws,
        energies=energies.reshape(shape),
        u=u,
        step_size=step_size,
        seconds=seconds,
        accept_prob=float(np.mean(joined["accept_prob"])),
        evaluations=float(np.mean(per_draw)) * case.thinning * float(np.prod(shape)),
        kernel=case.make(potential),
    )
