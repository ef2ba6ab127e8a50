"""What the random-walk kernels over an energy's parameters have in common."""

import abc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from numpyro.infer import init_to_uniform

from ebm_ppl._types import Position, PRNGKey, Scalar
from ebm_ppl.doubly_intractable._normalized import normalized
from ebm_ppl.doubly_intractable._sites import EnergySite, energy_sites
from ebm_ppl.samplers import AbstractKernel, Point, Settings, Transition, WhitenedTarget
from ebm_ppl.samplers._contract import accept_or_stay
from ebm_ppl.samplers._numpyro import ModelArgs, ModelKwargs
from ebm_ppl.samplers._warmup import DenseMass

Sites = dict[str, EnergySite]


class AbstractDoublyIntractableKernel(AbstractKernel):
    """Random-walk Metropolis over parameters whose likelihood lacks its partition function.

    The potential that chains carry leaves out log Z: it is that of prior times unnormalised likelihood.
    A subclass gives `log_z_difference`, an estimate of what is missing.

    Raises:
        ValueError: As for every kernel; when it runs, if the model has no observed energy without
            normaliser, or one that is masked, scaled or latent.
    """

    reversible = True
    gradient_evaluations_per_step = 0
    potential_evaluations_per_step = 1

    def __init__(
        self,
        model: Callable,
        step_size: Any = 1.0,
        inverse_mass_matrix: Any = None,
        adapt_step_size: bool = True,
        adapt_mass_matrix: bool = True,
        dense_mass: DenseMass = False,
        target_accept_prob: float = 0.3,
        init_strategy: Callable = init_to_uniform,
    ) -> None:
        if not callable(model):
            raise ValueError(f"`model` must be a NumPyro model; got {model!r}.")
        super().__init__(
            normalized(model, log_z=0.0),
            None,
            step_size=step_size,
            inverse_mass_matrix=inverse_mass_matrix,
            adapt_step_size=adapt_step_size,
            adapt_mass_matrix=adapt_mass_matrix,
            dense_mass=dense_mass,
            target_accept_prob=target_accept_prob,
            init_strategy=init_strategy,
        )
        self._model = model

    @abc.abstractmethod
    def log_z_difference(self, start: Sites, end: Sites, rng_key: PRNGKey) -> Scalar:
        r"""Estimate $\sum_s n_s \log Z_s(\theta') - n_s \log Z_s(\theta)$ over sites of $n_s$ observations.

        Args:
            start: The energies at $\theta$, with their data.
            end: The energies at $\theta'$, with their data.
            rng_key: Random key.

        Returns:
            The estimate, a scalar.
        """

    def context(
        self, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> Callable[[Position], Sites]:
        """The energies of the model as a function of the unconstrained position."""
        constrain = self.get_constrain_fn(model_args, model_kwargs)

        def sites_at(z: Position) -> Sites:
            return energy_sites(self._model, model_args, model_kwargs, constrain(z))

        return sites_at

    def transition(
        self,
        rng_key: PRNGKey,
        target: WhitenedTarget,
        start: Point,
        auxiliary: tuple[()],
        settings: Settings,
    ) -> Transition:
        """Propose parameters, estimate the ratio of partition functions, and accept or stay."""
        assert target.context is not None
        key_noise, key_ratio, key_accept = jax.random.split(rng_key, 3)
        noise = jax.random.normal(key_noise, start.position.shape, start.position.dtype)
        end = target.evaluate(settings.step_size * noise)
        difference = self.log_z_difference(
            target.context(start.z), target.context(end.z), key_ratio
        )
        log_ratio = start.potential_energy - end.potential_energy - difference
        log_ratio = jnp.asarray(log_ratio, dtype=start.position.dtype)
        uniform = jax.random.uniform(key_accept, dtype=log_ratio.dtype)
        return accept_or_stay(uniform, start, end, log_ratio, auxiliary)
