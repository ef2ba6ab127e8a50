"""An objective whose draws stay what they are, so that its loss is exact and Newton's method finds it."""

from typing import Any

import jax

from ebm_ppl.trainers import AbstractObjective, Prepared


class FixedDraws(AbstractObjective):
    """Another objective with one draw for the whole fit; standard errors count what that adds."""

    consistent, is_criterion = True, True

    objective: AbstractObjective

    def init(self, energy: Any, data: Any, rng_key: Any) -> Any:
        return self.objective.init(energy, data, rng_key)

    def prepare(self, model: Any, batch: Any, carried: Any, step: Any, rng_key: Any) -> Prepared:
        return self.objective.prepare(model, batch, carried, step, jax.random.key(12345))

    def losses(self, model: Any, batch: Any, sample: Any) -> Any:
        return self.objective.losses(model, batch, sample)
