"""Where a kernel's potential comes from: a NumPyro model, or a potential function."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpyro.distributions.transforms import biject_to
from numpyro.infer import init_to_uniform
from numpyro.infer.util import initialize_model, transform_fn

from ebm_ppl._checks import is_traced
from ebm_ppl._numpyro import GIBBS_SITES_KWARG, identity, in_turn, is_prng_key
from ebm_ppl._processes import on_host
from ebm_ppl._types import Position, PotentialFn, PRNGKey, Scalar
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import EnergyModel, EnergyPotential
from ebm_ppl.samplers._numpyro.starts import CompiledOnce

ModelArgs = tuple[Any, ...]
ModelKwargs = Mapping[str, Any] | None


class PotentialSource:
    """A potential function that the user wrote; positions are whatever it takes."""

    model = None
    is_ready = True

    def __init__(self, potential_fn: PotentialFn) -> None:
        self._potential_fn = potential_fn

    def initialise(self, _rng_key: PRNGKey, init_params: Any, *_: Any) -> Position:
        """The initial position, which the user has to give."""
        if init_params is None:
            raise ValueError("Valid value of `init_params` must be provided with `potential_fn`.")
        return init_params

    def potential_fn(self, *_: Any) -> PotentialFn:
        """The potential function, whatever the model arguments."""
        return self._potential_fn

    def postprocess_fn(self, *_: Any) -> Callable:
        """The identity: positions are what the user asked for."""
        return identity

    constrain_fn = postprocess_fn

    def wrap(self, _wrapper: Callable) -> "PotentialSource":
        """There is no model to wrap."""
        raise ValueError("`wrap_model` needs a kernel built from `model`; got `potential_fn`.")


class SitePotential(EnergyPotential):
    """Potential of an energy at a position that is the dictionary of one site."""

    name: str = eqx.field(static=True, default="")

    def __call__(self, z: Position) -> Scalar:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Potential energy of one unconstrained position."""
        return super().__call__(z[self.name])


class EnergySource:
    """The model of one energy, known without a trace of it; positions are dictionaries of its site.

    Of real points chains start as NumPyro's `init_to_uniform` has them, from the same keys. Of states they
    start anywhere: NumPyro's own way from a model to a potential sums finite discrete sites out.

    Args:
        model: The model.
        init_strategy: `init_to_uniform`, with a radius or without.
        uses_gradient: Whether the gradient has to be finite, too, where a chain starts.
    """

    is_ready = True

    def __init__(self, model: EnergyModel, init_strategy: Callable, uses_gradient: bool) -> None:
        self.model = model
        self.init_strategy = init_strategy
        self._uses_gradient = uses_gradient
        self._draw = CompiledOnce()

    @staticmethod
    def serves(model: Callable | None, init_strategy: Callable) -> bool:
        """Whether a model is of this kind, and chains are to start as they do here."""
        if not isinstance(model, EnergyModel):
            return False
        is_uniform = getattr(init_strategy, "func", init_strategy) is init_to_uniform
        return model.energy.support.is_discrete or (is_uniform and model.log_z is None)

    def initialise(
        self, rng_key: PRNGKey, init_params: Any, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> Position:
        """The given position, or one drawn for each chain."""
        name, energy = self.model.name, self.model.energy
        if model_args or model_kwargs:
            raise TypeError(
                f"The model of an energy takes no arguments; got {model_args!r} and {model_kwargs!r}."
            )
        if init_params is not None:
            return as_sites(init_params, {name})
        if not energy.support.is_discrete:
            z, is_valid = self._draw(self._drawn_by, energy)(rng_key)
            self._check_found(is_valid)
            return {name: z}
        space = StateSpace.of(energy)
        if space is None:
            raise ValueError(
                "`init_params` must be provided for an energy whose states cannot be counted; got "
                f"None for {energy.support!r}."
            )
        draw = space.draw if is_prng_key(rng_key) else jax.vmap(space.draw)
        return {name: draw(rng_key)}

    @property
    def _radius(self) -> Any:
        return getattr(self.init_strategy, "keywords", {}).get("radius", 2)

    def _check_found(self, is_valid: Array) -> None:
        """Refuse an energy that is finite nowhere; traced values pass."""
        if is_traced(is_valid) or np.all(on_host(is_valid)):
            return
        lacking = np.sum(~on_host(is_valid))
        raise ValueError(
            f"`init_params` must be given for {type(self.model.energy).__name__}, whose energy or gradient "
            f"is not finite at {_MOST_DRAWS} points drawn between -{self._radius} and {self._radius} in "
            f"unconstrained space; got None, and no start for {lacking} of {np.size(is_valid)} chains."
        )

    def _drawn_by(self, rng_key: PRNGKey) -> tuple[Array, Array]:
        """Uniform positions, one for each key, and whether the potential is finite there."""
        potential = EnergyPotential(self.model.energy)
        shape, radius = potential.position_shape, self._radius

        def is_valid(z: Array) -> Array:
            if not self._uses_gradient:
                return jnp.isfinite(potential(z))
            value, gradient = jax.value_and_grad(potential)(z)
            return jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))

        def again(carry: tuple[Any, Any, Any, Any]) -> tuple[Any, Any, Any, Any]:
            count, key, _, _ = carry
            key, key_draw = jax.random.split(key)
            z = jax.random.uniform(key_draw, shape, minval=-radius, maxval=radius)
            key, _ = jax.random.split(key)  # that of a next site, of which there is none
            return count + 1, key, z, is_valid(z)

        def draw(key: PRNGKey) -> tuple[Array, Array]:
            begin = jnp.asarray(0), key, jnp.zeros(shape), jnp.asarray(False)
            goes_on = lambda carry: (carry[0] < _MOST_DRAWS) & ~carry[3]  # noqa: E731
            return jax.lax.while_loop(goes_on, again, begin)[2:]

        return draw(rng_key) if is_prng_key(rng_key) else jax.lax.map(draw, rng_key)

    def potential_fn(self, *_: Any) -> PotentialFn:
        """The potential of the one site."""
        return SitePotential(self.model.energy, self.model.name)

    def postprocess_fn(self, *_: Any) -> Callable:
        """Map to points of the support; the identity for states."""
        if self.model.energy.support.is_discrete:
            return identity
        constrain = EnergyPotential(self.model.energy).constrain
        return lambda z: {self.model.name: constrain(z[self.model.name])}

    constrain_fn = postprocess_fn

    def wrap(self, wrapper: Callable) -> "ModelSource":
        """A wrapped model is no longer that of one energy."""
        if self.model.energy.support.is_discrete:
            raise ValueError(
                "`wrap_model` needs a model of real sites; got that of a discrete energy."
            )
        return ModelSource(wrapper(self.model), self.init_strategy, self._uses_gradient)


_MOST_DRAWS = 100
"""Draws of a start after which there is none, as for NumPyro."""


def as_sites(params: Any, names: Collection[str]) -> dict[str, Any]:
    """The given initial position, refused if its sites are not those of the model."""
    if not isinstance(params, dict) or params.keys() != set(names):
        given = sorted(params) if isinstance(params, dict) else type(params).__name__
        raise ValueError(f"Expected `init_params` with sites {sorted(names)}; got {given}.")
    return params


class ModelSource:
    """A NumPyro model; positions are dictionaries of its latent sites, unconstrained."""

    def __init__(self, model: Callable, init_strategy: Callable, uses_gradient: bool) -> None:
        self.model = model
        self._init_strategy = init_strategy
        self._uses_gradient = uses_gradient
        self._forget()

    def _forget(self) -> None:
        self._potential_fn_gen: Callable | None = None
        self._postprocess_fn: Callable | None = None
        self._transforms: dict[str, Any] = {}
        self._supports_vary = False
        self._draw = CompiledOnce()

    @property
    def is_ready(self) -> bool:
        """Whether the model has been traced."""
        return self._potential_fn_gen is not None

    def initialise(
        self, rng_key: PRNGKey, init_params: Any, model_args: ModelArgs, model_kwargs: ModelKwargs
    ) -> Position:
        """Trace the model, and draw or check the initial position of each chain."""
        first_key = rng_key if is_prng_key(rng_key) else rng_key[0]
        info = self._trace(first_key, model_args, model_kwargs)
        self._potential_fn_gen = info.potential_fn
        self._postprocess_fn = info.postprocess_fn
        supports = {name: info.model_trace[name]["fn"].support for name in info.param_info.z}
        self._transforms = {name: biject_to(support) for name, support in supports.items()}
        # A bound that is an array may depend on other sites; numbers cannot.
        self._supports_vary = any(
            isinstance(bound, jax.Array) for bound in jax.tree.leaves(supports)
        )
        if init_params is not None:
            return self._as_given(init_params, info.param_info.z, model_kwargs)
        if is_prng_key(rng_key):
            return info.param_info.z
        return self._draw_batch(rng_key, model_args, model_kwargs)

    @property
    def init_strategy(self) -> Callable:
        """NumPyro's strategy to start from."""
        return self._init_strategy

    def _trace(self, rng_key: PRNGKey, args: ModelArgs, kwargs: ModelKwargs) -> Any:
        return self._trace_program(rng_key, self.model, args, kwargs)

    def _trace_program(
        self, rng_key: PRNGKey, program: Callable, args: ModelArgs, kwargs: ModelKwargs
    ) -> Any:
        return in_turn(initialize_model)(
            rng_key,
            program,
            init_strategy=self._init_strategy,
            dynamic_args=True,
            model_args=args,
            model_kwargs=kwargs,
            validate_grad=self._uses_gradient,
        )

    def _draw_batch(self, keys: PRNGKey, args: ModelArgs, kwargs: ModelKwargs) -> Position:
        """Draw one valid position per key; compiled once for the same model arguments."""
        draw = lambda keys: self._trace(keys, args, kwargs).param_info.z  # noqa: E731
        return self._draw(draw, (args, kwargs))(keys)

    def _as_given(self, params: Any, prototype: dict[str, Any], kwargs: ModelKwargs) -> Position:
        params = as_sites(params, prototype.keys())
        if GIBBS_SITES_KWARG not in (kwargs or {}):
            return params
        # As a block of numpyro.infer.Gibbs: it hands constrained values to all kernels but HMC.
        if self._supports_vary:
            raise ValueError(
                "Gibbs blocks need supports that do not depend on other sites; "
                f"got {sorted(params)}."
            )
        return transform_fn(self._transforms, params, invert=True)

    def potential_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> PotentialFn:
        """Potential of an unconstrained position under these model arguments."""
        if self._potential_fn_gen is None:
            raise RuntimeError(
                "`get_potential_fn` requires the kernel to be initialized; run `init` first."
            )
        return in_turn(self._potential_fn_gen(*model_args, **(model_kwargs or {})))

    def postprocess_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> Callable:
        """Map to constrained values and deterministic sites; the identity before `initialise`."""
        if self._postprocess_fn is None:
            return identity
        return in_turn(self._postprocess_fn(*model_args, **(model_kwargs or {})))

    def constrain_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> Callable:
        """Map to constrained values, without running the model where its supports are constant."""
        if not self.is_ready:
            raise RuntimeError(
                "`get_constrain_fn` requires the kernel to be initialized; run `init` first."
            )
        if self._supports_vary:
            return self.postprocess_fn(model_args, model_kwargs)
        transforms = self._transforms
        return lambda z: transform_fn(transforms, z)

    def wrap(self, wrapper: Callable) -> "ModelSource":
        """The same source for a wrapped model, not yet traced."""
        return type(self)(wrapper(self.model), self._init_strategy, self._uses_gradient)

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what tracing the model made: closures do not pickle."""
        copy = type(self)(self.model, self._init_strategy, self._uses_gradient)
        return copy.__dict__
