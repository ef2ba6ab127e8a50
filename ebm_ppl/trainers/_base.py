"""The objective interface: what is random, what is differentiated, and what is claimed."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._batch import Batch

_CLAIMS = ("consistent", "is_criterion")


class Model(NamedTuple):
    r"""All that the optimiser changes.

    Attributes:
        energy: The energy, whose floating-point array leaves are its parameters.
        learned: What an objective learns beside it, such as $\log Z$; `None` if nothing.
    """

    energy: Any
    learned: Any = None


class Prepared(NamedTuple):
    """What an objective drew for one step.

    Attributes:
        sample: Everything random that the losses need: noise, projections, negative examples.
        carried: The objective's state after the draw: chains, a buffer, an adversary.
        metrics: Scalars for the history, by name.
    """

    sample: Any
    carried: Any
    metrics: dict[str, Float[Array, ""]]


class AbstractObjective(eqx.Module):
    r"""What a fit minimises: an average over examples of losses that need no partition function.

    An objective has two halves. `prepare` draws everything random and is never differentiated, so no
    gradient is ever taken through a Markov chain; `losses` is a deterministic function of the model,
    the batch and what was drawn, with one value per example. The loop takes the mean and its gradient.

    To write an objective, subclass, declare its settings as fields, state the claims, implement
    `losses`, and override what else it needs: `init` if it learns or carries something, `prepare` if
    it draws something, `sensitivity` if what it draws follows a law that depends on the model,
    `for_held_out` if what it carries belongs to single examples, `chains` if it carries some. One
    example is one energy and one point: `per_example` maps over the batch and takes a conditional
    energy at each example's condition, so an objective that is written with it serves both.

    Attributes:
        consistent: Claim: if some parameters give the law of the data, they minimise the expected
            loss, so the fit converges to them as the data grow.
        is_criterion: Claim: the loss on held-out data measures the quality of a fit, so early
            stopping may watch it.
        adds_noise: Whether the objective adds noise to the examples, and takes an energy that depends on
            the level of noise at its own; by default not, and such an energy needs examples with levels.

    Examples:
        Ratio matching to one fixed reference would be a line; here, the energy of the data alone (a
        poor objective, which pushes the energy down for ever):

        >>> import jax, jax.numpy as jnp
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.trainers import AbstractObjective, Batch, Model, energies_of
        >>> class DataEnergy(AbstractObjective):
        ...     consistent, is_criterion = False, False
        ...
        ...     def losses(self, model, batch, sample):
        ...         return energies_of(model.energy, batch)
        >>> batch = Batch(x=jnp.array([0.0, 1.0]), condition=None, index=jnp.arange(2))
        >>> DataEnergy().losses(Model(Quartic()), batch, None).tolist()
        [0.0, 2.0]
    """

    consistent: ClassVar[bool]
    is_criterion: ClassVar[bool]
    adds_noise: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__.startswith("Abstract"):
            return
        missing = [claim for claim in _CLAIMS if not hasattr(cls, claim)]
        if missing:
            raise TypeError(
                f"An objective must claim {', '.join(missing)}; {cls.__name__} does not."
            )

    @property
    def name(self) -> str:
        """Name in messages and reports."""
        return type(self).__name__

    def init(
        self,
        energy: Any,
        data: Batch,
        rng_key: PRNGKey,
    ) -> tuple[Any, Any]:
        """Initial values of what is learned beside the energy, and of what is carried between steps.

        Args:
            energy: The energy before the first step.
            data: All training examples.
            rng_key: Random key.

        Returns:
            The pair `(learned, carried)`, two pytrees; by default both `None`.

        Raises:
            ValueError: If the objective does not fit the energy or the data.
        """
        return None, None

    def prepare(
        self,
        model: Model,
        batch: Batch,
        carried: Any,
        step: Array,
        rng_key: PRNGKey,
    ) -> Prepared:
        """Draw what one step needs; by default nothing.

        Args:
            model: The model before the step.
            batch: The examples of the step.
            carried: What the previous step left.
            step: Number of steps taken before, for schedules.
            rng_key: Random key of this step.

        Returns:
            The draws, the new carried state and metrics.
        """
        return Prepared(None, carried, {})

    def for_held_out(self, data: Batch, carried: Any, rng_key: PRNGKey) -> Any:
        """What is carried where the loss of held-out examples is evaluated, which no step has seen.

        Args:
            data: The held-out examples.
            carried: What the fit carries.
            rng_key: Random key, the same at each evaluation.

        Returns:
            By default what the fit carries; something else if that belongs to the fit's own examples.
        """
        return carried

    def chains(self, carried: Any) -> Array | None:
        """The points of the chains that are carried, for whoever looks at a running fit.

        Args:
            carried: What the fit carries.

        Returns:
            Points, the event shape last; by default `None`.
        """
        return None

    def trouble(self, metrics: Mapping[str, np.ndarray]) -> str | None:
        """What the metrics of some steps say against going on; a fit is stopped with it.

        Args:
            metrics: Metrics by name, one value per step.

        Returns:
            The cause and its remedy, a sentence without its full stop; by default `None`.
        """
        return None

    @abc.abstractmethod
    def losses(self, model: Model, batch: Batch, sample: Any) -> Float[Array, " num_examples"]:
        """Loss of each example, deterministic and differentiable with respect to the model.

        Args:
            model: The model.
            batch: The examples.
            sample: What `prepare` drew.

        Returns:
            One loss per example; the loop minimises their mean.
        """

    def sensitivity(
        self,
        gradients: Float[Array, "num_examples num_parameters"],
        model: Model,
        batch: Batch,
        sample: Any,
    ) -> Float[Array, "num_parameters num_parameters"] | float:
        r"""What the law of the sample adds to the derivative of the mean gradient.

        With $\psi_\theta$ the expected gradient of the losses, standard errors need
        $\partial \psi_\theta / \partial \theta$. The mean Hessian of the losses is all of it if the law
        of `sample` does not depend on $\theta$, which is the default; negative examples that
        follow the model add a covariance.

        Args:
            gradients: Gradients of the losses with respect to the flattened parameters.
            model: The model.
            batch: The examples.
            sample: What `prepare` drew.

        Returns:
            The additional matrix; 0 by default.
        """
        return 0.0
