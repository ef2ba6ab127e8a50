"""Independent proposals accepted as if they were symmetric."""

from typing import Any

import jax.numpy as jnp
import numpyro.distributions as dist

from ebm_ppl._types import Scalar
from ebm_ppl.samplers import IndependenceMetropolis, Point
from ebm_ppl.validation.controls._base import Control, claims


class _NoProposalDensity(IndependenceMetropolis):
    def __init__(self, potential_fn: Any) -> None:
        proposal = dist.Normal(0.0, 2.0).expand([1]).to_event(1)
        super().__init__(potential_fn=potential_fn, proposal=proposal)

    def log_acceptance(self, start: Point, end: Point) -> Scalar:
        return jnp.asarray(start.potential_energy - end.potential_energy)


CONTROLS = (
    Control(
        name="independence sampler without proposal density",
        wrong_because="the ratio leaves the proposal out, so the target is multiplied by its density",
        case=claims(_NoProposalDensity),
    ),
)
