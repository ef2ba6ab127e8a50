"""What NumPyro asks of a kernel about its model, whatever the kernel's mathematics."""

import copy
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl._types import PotentialFn
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.potentials import EnergyModel, EnergyPotential
from ebm_ppl.samplers._numpyro.refused_options import refuse_options
from ebm_ppl.samplers._numpyro.sources import (
    EnergySource,
    ModelArgs,
    ModelKwargs,
    ModelSource,
    PotentialSource,
)

_Kernel = TypeVar("_Kernel", bound=MCMCKernel)


class AbstractModelKernel(MCMCKernel):
    """A kernel built from a NumPyro model or from a potential function.

    Attributes:
        takes_discrete: Whether the kernel moves among the states of a discrete energy; others are refused
            one, since their steps would leave its support.

    Raises:
        ValueError: If not exactly one of `model` and `potential_fn` is given, either is not callable, or
            it is of a discrete energy and the kernel does not take one.
    """

    takes_discrete: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # `inspect` would else show that of `__new__`.
        _, *others = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(others)

    def __new__(cls: type[_Kernel], *args: Any, **options: Any) -> _Kernel:  # noqa: ARG004, PYI019
        """Refuse options of NumPyro's kernels with the reason, before Python calls them unexpected."""
        refuse_options(cls, options)
        return object.__new__(cls)

    def __init__(
        self,
        model: Callable | None,
        potential_fn: PotentialFn | None,
        init_strategy: Callable,
        uses_gradient: bool,
    ) -> None:
        if (model is None) == (potential_fn is None):
            got = "neither" if model is None else "both"
            raise ValueError(f"Exactly one of `model` and `potential_fn` must be given; got {got}.")
        if isinstance(model, AbstractEnergy):
            raise ValueError(
                f"`model` must be a NumPyro model, which `as_model` makes of an energy; got {model!r}."
            )
        callables = {"model": model, "potential_fn": potential_fn, "init_strategy": init_strategy}
        for name, function in callables.items():
            if function is not None and not callable(function):
                raise ValueError(f"`{name}` must be callable; got {function!r}.")
        self._source: PotentialSource | ModelSource | EnergySource
        source = model if potential_fn is None else potential_fn
        if isinstance(source, (EnergyModel, EnergyPotential)) and not self.takes_discrete:
            _check_real(type(self).__name__, source.energy)
        if isinstance(model, EnergyModel) and EnergySource.serves(model, init_strategy):
            self._source = EnergySource(model, init_strategy, uses_gradient)
        elif model is not None:
            self._source = ModelSource(model, init_strategy, uses_gradient)
        elif potential_fn is not None:
            self._source = PotentialSource(potential_fn)

    @property
    def model(self) -> Callable | None:
        """The NumPyro model; `None` for a kernel built from a potential function."""
        return self._source.model

    @property
    def iterations_per_step(self) -> int:
        """By how much a step raises the counter that rises most, which is of 32 bits."""
        return 1

    @property
    def sample_field(self) -> str:
        """Name of the state's field that holds the draws."""
        return "z"

    @property
    def default_fields(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Names of the fields that MCMC always collects."""
        return ("z", "diverging")

    @property
    def _sample_fn(self) -> Callable | None:
        # MCMC reads this name to learn whether `init` has to run before a resumed run may sample.
        return self.sample if self._source.is_ready else None

    def get_potential_fn(
        self, model_args: ModelArgs = (), model_kwargs: ModelKwargs = None
    ) -> PotentialFn:
        """Potential energy of an unconstrained position under these model arguments.

        Raises:
            RuntimeError: If the kernel was built from a model and `init` has not run.
        """
        return self._source.potential_fn(model_args, model_kwargs)

    def postprocess_fn(self, model_args: ModelArgs, model_kwargs: ModelKwargs) -> Callable:
        """Map from unconstrained positions to constrained values and deterministic sites."""
        return self._source.postprocess_fn(model_args, model_kwargs)

    def get_constrain_fn(
        self, model_args: ModelArgs = (), model_kwargs: ModelKwargs = None
    ) -> Callable:
        """Map from unconstrained positions to constrained values, by transforms alone if possible.

        Raises:
            RuntimeError: If the kernel was built from a model and `init` has not run.
        """
        return self._source.constrain_fn(model_args, model_kwargs)

    def wrap_model(self, wrapper: Callable) -> "AbstractModelKernel":
        """Copy of this kernel for the model `wrapper(model)`; it needs its own `init`.

        Raises:
            ValueError: If the kernel was built from a potential function.
        """
        kernel = copy.copy(self)
        kernel._source = self._source.wrap(wrapper)
        return kernel


def _check_real(kernel: str, energy: AbstractEnergy) -> None:
    """Refuse a discrete energy."""
    if energy.support.is_discrete:
        raise ValueError(
            f"{kernel} must be given an energy of real points; got the discrete "
            f"{type(energy).__name__}. Use BlockGibbs or another kernel for discrete energies."
        )
