"""The estimators of log Z, by whether their intervals cover it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.infer import NUTS

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition import (
    LogPartitionEstimate,
    annealed_importance_sampling,
    bridge_sampling,
    exchange_estimate,
    importance_sampling,
    sequential_monte_carlo,
    thermodynamic_integration,
)
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import BlockGibbs, ReplicaExchange
from ebm_ppl.validation.hard_problems import HardProblem
from validation.silent_failures.functions import Function, families_in, run_chains

DIMS = (2, 9, 10)
"""A plane, where modes are what is hard, ten coordinates, and a lattice of nine sites."""


def _covers(
    estimate: Callable[[AbstractEnergy, PRNGKey], LogPartitionEstimate],
) -> Callable[..., bool]:
    def ask(problem: HardProblem, rng_key: PRNGKey) -> bool:
        interval = estimate(problem.energy, rng_key).interval
        return interval is not None and interval[0] <= problem.log_z <= interval[1]

    return ask


def _importance(energy: AbstractEnergy, rng_key: PRNGKey) -> LogPartitionEstimate:
    proposal = dist.StudentT(3.0, 0.0, 3.0).expand(energy.event_shape).to_event(1)
    return importance_sampling(energy, proposal, rng_key)


def _bridge(energy: AbstractEnergy, rng_key: PRNGKey) -> LogPartitionEstimate:
    key_chains, key_bridge = jax.random.split(rng_key)
    chains = run_chains(NUTS(as_model(energy)), key_chains, num_warmup=500, num_chains=4)
    draws = jnp.asarray(chains.get_samples(group_by_chain=True)["x"])
    return bridge_sampling(energy, draws, key_bridge)


def _exchange(energy: AbstractEnergy, rng_key: PRNGKey) -> LogPartitionEstimate:
    model = as_model(energy)
    inner = BlockGibbs(model) if energy.support.is_discrete else NUTS(model)
    chains = run_chains(ReplicaExchange(inner), rng_key, num_warmup=500, num_chains=8)
    return exchange_estimate(chains)


_ALL = families_in(DIMS)
_REAL = families_in(DIMS, without=("lattice",))
_UNBOUNDED = families_in(DIMS, without=("lattice", "bounded", "wall"))

FUNCTIONS = (
    Function("importance_sampling", _covers(_importance), _UNBOUNDED),
    Function("annealed_importance_sampling", _covers(annealed_importance_sampling), _ALL),
    Function("sequential_monte_carlo", _covers(sequential_monte_carlo), _ALL),
    Function("thermodynamic_integration", _covers(thermodynamic_integration), _ALL),
    Function("bridge_sampling", _covers(_bridge), _REAL),
    Function("exchange_estimate", _covers(_exchange), _ALL),
)
