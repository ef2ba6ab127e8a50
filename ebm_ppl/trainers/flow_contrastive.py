"""Flow contrastive estimation: noise-contrastive estimation whose noise learns to resemble the data."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._contrast import (
    Contrast,
    NoiseSource,
    classification_losses,
    energy_gap,
    initial_log_z,
)
from ebm_ppl.trainers._noise import is_flow


class Adversary(NamedTuple):
    """The noise of flow contrastive estimation between two steps.

    Attributes:
        flow: The flow as trained so far, a FlowJAX distribution.
        optimizer_state: State of its optimiser.
    """

    flow: Any
    optimizer_state: Any


class FlowContrastive(AbstractObjective):
    r"""Flow contrastive estimation: a normalising flow as adversarial noise.

    The loss is that of `NoiseContrastive` with one noise point per example, and the noise a flow with
    density $q_\alpha$. Energy and flow play for the value
    $$V(\theta, \log Z, \alpha) = \mathbb{E}_{x \sim p} \log \sigma(G(x))
    + \mathbb{E}_{\tilde x \sim q_\alpha} \log(1 - \sigma(G(\tilde x))), \qquad
    G = -E_\theta - \log Z - \log q_\alpha.$$
    The energy maximises it. The flow minimises it, by reparameterised draws, and for the best energy
    that is to minimise the Jensen-Shannon divergence from the data. So the noise comes closer to the data
    and the estimate closer to maximum likelihood.

    Before its noise is drawn the flow makes `num_flow_steps` updates on the batch, in every step or every
    few. After a fit, `fit.state.carried.flow` is the trained flow.

    Args:
        flow: A FlowJAX distribution on the energy's `event_shape`, conditional if the energy is. It has
            to be fast in both directions, as coupling flows are, and to bound its scales away from 0.
        optimizer: Optax optimiser of the flow.
        num_flow_steps: Number of the flow's updates in a step in which it is updated.
        flow_every: The flow is updated in each step whose number is a multiple of this. An energy that
            takes several steps between costs less, and the flow follows a better one.
        log_z: Initial value of $\log Z$, as in `NoiseContrastive`.

    Raises:
        ValueError: If `flow` is no FlowJAX distribution or a number no positive integer; when the fit
            begins, if shapes do not fit or the flow has no density at some example.

    Examples:
        >>> import jax, optax
        >>> import ebm_ppl as ebm
        >>> from flowjax.distributions import Normal
        >>> data = 3.0 + jax.random.normal(jax.random.key(0), (1000,))
        >>> fit = ebm.fit(
        ...     ebm.energies.Quartic(a=0.1, b=0.0, gamma=-4.0),
        ...     data,
        ...     ebm.FlowContrastive(Normal(), optax.adam(0.1)),
        ...     optax.adam(0.01),
        ...     num_steps=300,
        ...     rng_key=jax.random.key(1),
        ...     progress_bar=False,
        ... )
        >>> print(f"{fit.state.carried.flow.loc:.0f}")
        3

    References:
        R. Gao, E. Nijkamp, D. P. Kingma, Z. Xu, A. M. Dai and Y. N. Wu (2020). Flow contrastive
        estimation of energy-based models. *Conference on Computer Vision and Pattern Recognition*.
    """

    consistent = True
    is_criterion = False

    flow: Any
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    num_flow_steps: int = eqx.field(static=True, default=1)
    flow_every: int = eqx.field(static=True, default=1)
    log_z: Any = 0.0

    def __check_init__(self) -> None:
        check_count("num_flow_steps", self.num_flow_steps)
        check_count("flow_every", self.flow_every)
        if not is_flow(self.flow):
            raise ValueError(f"`flow` must be a FlowJAX distribution; got {self.flow!r}.")

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[dict[str, Any], Adversary]:
        r"""The initial $\log Z$, and the flow as it begins."""
        _source(self.flow).init(energy, data, rng_key)
        trainable, _ = _split(self.flow)
        adversary = Adversary(self.flow, self.optimizer.init(trainable))
        return {"log_z": initial_log_z(self.log_z, energy)}, adversary

    def prepare(
        self, model: Model, batch: Batch, carried: Adversary, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Update the flow if it is its turn, then draw its noise."""
        key_update, key_noise = jax.random.split(rng_key)
        trainable, fixed = _split(carried.flow)

        def value(trainable: Any, rng_key: PRNGKey) -> Scalar:
            contrast = _source(eqx.combine(trainable, fixed)).draw(batch, None, rng_key)
            return -jnp.mean(classification_losses(model, batch, contrast))

        def update(carry: tuple[Any, Any], rng_key: PRNGKey) -> tuple[tuple[Any, Any], None]:
            trainable, state = carry
            gradient = jax.grad(value)(trainable, rng_key)
            updates, state = self.optimizer.update(gradient, state, trainable)
            return (optax.apply_updates(trainable, updates), state), None

        def updated(carry: tuple[Any, Any]) -> tuple[Any, Any]:
            keys = jax.random.split(key_update, self.num_flow_steps)
            return jax.lax.scan(update, carry, keys)[0]

        carry = (trainable, carried.optimizer_state)
        if self.flow_every == 1:
            carry = updated(carry)
        else:
            carry = jax.lax.cond(step % self.flow_every == 0, updated, lambda carry: carry, carry)
        flow = eqx.combine(carry[0], fixed)
        contrast = _source(flow).draw(batch, None, key_noise)
        metrics = {
            "energy_gap": energy_gap(model, batch, contrast.points),
            "flow_log_likelihood": jnp.mean(contrast.log_noise_of_data),
        }
        return Prepared(contrast, Adversary(flow, carry[1]), metrics)

    def losses(self, model: Model, batch: Batch, sample: Contrast) -> Float[Array, " num_examples"]:
        """Logistic loss of each example and its noise."""
        return classification_losses(model, batch, sample)


def _source(flow: Any) -> NoiseSource:
    return NoiseSource(flow, num_noise=1, fresh=True)


def _split(flow: Any) -> tuple[Any, Any]:
    """The flow's parameters that are trained, and the rest."""
    from paramax import NonTrainable

    return eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, NonTrainable)
    )
