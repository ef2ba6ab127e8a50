"""log Z from replica exchange, of block Gibbs sweeps of a machine."""

import equinox as eqx
import jax

from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.partition import LogPartitionEstimate, exchange_estimate
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import BlockGibbs, ReplicaExchange, ReplicaExchangeState
from ebm_ppl.validation.cases._estimator import EstimatorCase, Work
from ebm_ppl.validation.partition_problems import SWEEPS, machine, machine_log_z

CHAINS, LEVELS, WARMUP, DRAWS = 16, 4, 64, 200


def run(rng_key: PRNGKey) -> ReplicaExchangeState:
    """The state of sixteen ladders after a run."""
    return _run(machine(), rng_key)


@eqx.filter_jit
def _run(energy: RestrictedBoltzmannMachine, rng_key: PRNGKey) -> ReplicaExchangeState:
    kernel = ReplicaExchange(BlockGibbs(as_model(energy)), num_replicas=LEVELS)
    state = kernel.init(jax.random.split(rng_key, CHAINS), WARMUP)
    return jax.lax.fori_loop(0, WARMUP + DRAWS, lambda _, state: kernel.sample(state), state)


def estimate(rng_key: PRNGKey) -> LogPartitionEstimate:
    """One run."""
    return exchange_estimate(run(rng_key))


WORK = Work(SWEEPS, CHAINS * LEVELS * (WARMUP + DRAWS))
CASES = (EstimatorCase("exchange_estimate", estimate, machine_log_z, "log Z", WORK),)
