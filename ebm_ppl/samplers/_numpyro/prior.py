"""NumPyro models whose likelihood can be tempered, from the prior to the posterior."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from numpyro import handlers
from numpyro.distributions import MaskedDistribution
from numpyro.distributions.transforms import biject_to

from ebm_ppl._numpyro import Messenger, identity, in_turn
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.samplers._numpyro.sources import ModelArgs, ModelKwargs, ModelSource


class PriorSource(ModelSource):
    """A model with a path of potentials from its prior to its posterior.

    The program that NumPyro traces has two more arguments in front, the powers of the latent sites and of
    the observed ones.
    """

    @classmethod
    def like(cls, source: ModelSource) -> "PriorSource":
        """The same source, with a path."""
        return cls(source.model, source._init_strategy, source._uses_gradient)

    def _trace(self, rng_key: PRNGKey, args: ModelArgs, kwargs: ModelKwargs) -> Any:
        program = _Weighted(self.model, self._observed(args, kwargs))
        return self._trace_program(rng_key, program, (1.0, 1.0, *args), kwargs)

    def _observed(self, args: ModelArgs, kwargs: ModelKwargs) -> frozenset[str]:
        """Names of the observed sites; models that have no path from their prior are refused."""
        observed: set[str] = set()
        obstacles: dict[str, str] = {}

        def read(rng_key: PRNGKey) -> None:
            for name, site in self._sites(rng_key, args, kwargs).items():
                if site["is_observed"]:
                    observed.add(name)
                elif obstacle := _obstacle(site):
                    obstacles[name] = obstacle

        try:
            jax.eval_shape(read, jax.random.key(0))
        except NotImplementedError as error:
            raise ValueError(
                f"`base` must be given for a model whose prior has no draws; got None, and {error!r}."
            ) from error
        if obstacles:
            found = ", ".join(f"{name!r} {obstacle}" for name, obstacle in obstacles.items())
            raise ValueError(
                "`base` must be given for a model whose prior is not the law of its draws; got None, and "
                f"{found}."
            )
        return frozenset(observed)

    def _sites(self, rng_key: PRNGKey, args: ModelArgs, kwargs: ModelKwargs) -> dict[str, Any]:
        """The sample sites of one run of the model."""
        seeded = handlers.seed(self.model, rng_key)
        trace = in_turn(handlers.trace(seeded).get_trace)(*args, **(kwargs or {}))
        return {name: site for name, site in trace.items() if site["type"] == "sample"}

    def potential_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> PotentialFn:
        """Potential of the posterior."""
        return self.weighted(1.0, 1.0, model_args, model_kwargs)

    def weighted(
        self,
        prior: Scalar | float,
        likelihood: Scalar | float,
        model_args: ModelArgs,
        model_kwargs: ModelKwargs,
    ) -> PotentialFn:
        """Potential of a power of the prior times a power of the likelihood."""
        return super().potential_fn((prior, likelihood, *model_args), model_kwargs)

    def postprocess_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> Callable:
        """Map to constrained values and deterministic sites; the identity before `initialise`."""
        if self._postprocess_fn is None:
            return identity
        return self._postprocess_fn(1.0, 1.0, *model_args, **(model_kwargs or {}))

    def draw(
        self, rng_key: PRNGKey, names: set[str], model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> Position:
        """One draw of the prior, unconstrained."""
        sites = self._sites(rng_key, model_args, model_kwargs)
        return {
            name: biject_to(sites[name]["fn"].support).inv(sites[name]["value"]) for name in names
        }


def _obstacle(site: Mapping[str, Any]) -> str:
    """Why the density of a latent site is not that of its draws; empty where it is."""
    law = site["fn"]
    if law.support.is_discrete:
        return "is summed out"
    if site["scale"] is not None:
        return "is scaled or subsampled"
    while law is not None:
        if isinstance(law, MaskedDistribution):
            return "is masked"
        law = getattr(law, "base_dist", None)
    return ""


class _Weighted:
    """A model whose sites are raised to powers, given as its first two arguments."""

    def __init__(self, model: Callable, observed: frozenset[str]) -> None:
        self._model = model
        self._observed = observed

    def __call__(self, prior: Any, likelihood: Any, *args: Any, **kwargs: Any) -> Any:
        with _Weigh(prior, likelihood, self._observed):
            return self._model(*args, **kwargs)


class _Weigh(Messenger):
    """Raise the density of latent sites to one power, and that of observed sites to another.

    NumPyro adds the Jacobians of latent sites as observed ones, under names that depend on the handlers
    around them; so the model's own observed sites are known by name.
    """

    def __init__(self, prior: Any, likelihood: Any, observed: frozenset[str]) -> None:
        super().__init__()
        self._prior, self._likelihood, self._observed = prior, likelihood, observed

    def process_message(self, msg: dict[str, Any]) -> None:
        if msg["type"] != "sample":
            return
        power = self._likelihood if msg["name"] in self._observed else self._prior
        msg["scale"] = power if msg["scale"] is None else power * msg["scale"]
