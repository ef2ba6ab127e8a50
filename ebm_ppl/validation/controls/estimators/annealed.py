"""Planted bugs in annealed importance sampling."""

import jax.numpy as jnp

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath, LinearPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition import LogPartitionEstimate, annealed_importance_sampling
from ebm_ppl.samplers import Langevin
from ebm_ppl.validation.cases import EstimatorCase
from ebm_ppl.validation.controls._estimator import EstimatorControl
from ebm_ppl.validation.partition_problems import (
    SCHEDULE,
    machine,
    machine_log_z,
    normal,
    normal_log_z,
)


class _Altered(AbstractPath):
    """A machine's path; the bugs below say what they make of it."""

    path: LinearPath
    offset: float = 0.0
    drops_last: bool = False

    @property
    def energy(self) -> AbstractEnergy:
        return self.path.energy

    @property
    def log_z_base(self) -> Scalar:
        return self.path.log_z_base + self.offset

    def sample_base(self, rng_key: PRNGKey, count: int) -> Event:
        return self.path.sample_base(rng_key, count)

    def at(self, inverse_temperature: Scalar) -> AbstractEnergy:
        return self.path.at(inverse_temperature)

    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        value = self.path.log_ratio(x, start, end)
        return jnp.where(end == 1, 0.0, value) if self.drops_last else value


def _anneal(path: AbstractPath, rng_key: PRNGKey) -> LogPartitionEstimate:
    return annealed_importance_sampling(path, rng_key, num_chains=1_000, schedule=40)


def _off_base(rng_key: PRNGKey) -> LogPartitionEstimate:
    return _anneal(_Altered(LinearPath(machine()), offset=0.02), rng_key)


def _without_last_step(rng_key: PRNGKey) -> LogPartitionEstimate:
    return _anneal(_Altered(LinearPath(machine()), drops_last=True), rng_key)


def _unadjusted(rng_key: PRNGKey) -> LogPartitionEstimate:
    return annealed_importance_sampling(
        normal(), rng_key, num_chains=1_000, schedule=SCHEDULE, kernel=Langevin
    )


CONTROLS = (
    EstimatorControl(
        "base log Z off by 0.02",
        "the base law's partition function is 2% too large",
        EstimatorCase("control", _off_base, machine_log_z, "Z"),
        quick=True,
    ),
    EstimatorControl(
        "annealing without its last weight",
        "the weight of the step to the target is left out",
        EstimatorCase("control", _without_last_step, machine_log_z, "Z"),
    ),
    EstimatorControl(
        "annealing by unadjusted Langevin",
        "moves without an acceptance step leave no law on the path invariant",
        EstimatorCase("control", _unadjusted, normal_log_z, "Z"),
    ),
)
