"""The centred gradient of restricted Boltzmann machines, as an Optax transformation."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ebm_ppl._checks import check_finite, check_instance, check_shape
from ebm_ppl.energies import RestrictedBoltzmannMachine
from ebm_ppl.energies._base import as_parameter


def centred(
    optimizer: optax.GradientTransformation, visible_mean: Any, hidden_mean: Any = 0.5
) -> optax.GradientTransformation:
    r"""Optimise a restricted Boltzmann machine in the coordinates of centred units.

    With offsets $\mu$ and $\lambda$, the means of the visible and the hidden units, the joint energy is

    $$E(v, h) = -(v - \mu)^\top \tilde b - (h - \lambda)^\top \tilde c - (v - \mu)^\top W (h - \lambda) +
    \text{const}, \qquad \tilde b = b + W \lambda, \quad \tilde c = c + W^\top \mu.$$

    The gradient in $(W, \tilde b, \tilde c)$ is that of the same loss,
    $$\nabla_{\tilde W} = \nabla_W - \nabla_b \lambda^\top - \mu \nabla_c^\top,$$
    from which what the biases alone would do is taken out, so that a step no longer depends on which value
    of a unit is called 1. The optimiser works in these coordinates, and its step is mapped back.

    Args:
        optimizer: An Optax transformation that needs gradients and parameters alone. Weight decay sees the
            same weights in either coordinates.
        visible_mean: Offsets $\mu$, shape `(visible,)`, such as the means of the data.
        hidden_mean: Offsets $\lambda$, shape `(hidden,)`, or one for all.

    Returns:
        An Optax transformation of the gradients of a `Model` whose energy is a `RestrictedBoltzmannMachine`,
        such as `fit` trains.

    Raises:
        ValueError: If an argument is of another kind or not finite; in `init`, if the energy is no
            `RestrictedBoltzmannMachine` or the offsets do not fit it.

    Examples:
        >>> import jax, numpy as np, optax
        >>> import ebm_ppl as ebm
        >>> data = np.repeat([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], 50, axis=0)
        >>> fit = ebm.fit(
        ...     ebm.energies.RestrictedBoltzmannMachine.from_data(data, 2),
        ...     data,
        ...     ebm.PersistentCD(ebm.BlockGibbs, num_chains=100),
        ...     ebm.trainers.centred(optax.adam(0.02), data.mean(axis=0)),
        ...     num_steps=100,
        ...     rng_key=jax.random.key(0),
        ...     progress_bar=False,
        ... )
        >>> log_z = ebm.EnumerationNormalizer()(fit.energy)
        >>> bool(-jax.vmap(fit.energy)(data).mean() - log_z > -1.0)  # log(1/2) at best
        True

    References:
        Montavon & Müller (2012). Deep Boltzmann machines and the centering trick. In: Neural Networks:
        Tricks of the Trade, second edition.
        Melchior, Fischer & Wiskott (2016). How to center deep Boltzmann machines. Journal of Machine
        Learning Research 17(99).
    """
    check_instance("optimizer", optimizer, optax.GradientTransformation, "an Optax transformation")
    mu, shift = as_parameter(visible_mean), as_parameter(hidden_mean)
    check_finite("visible_mean", mu)
    check_finite("hidden_mean", shift)

    def init_fn(params: Any) -> Any:
        machine = params.energy
        check_instance(
            "energy", machine, RestrictedBoltzmannMachine, "a RestrictedBoltzmannMachine"
        )
        check_shape("visible_mean", mu, machine.visible_bias.shape)
        if jnp.ndim(shift):
            check_shape("hidden_mean", shift, machine.hidden_bias.shape)
        return optimizer.init(_with_energy(params, *_to_centred(machine)))

    def _to_centred(machine: Any) -> tuple[Array, Array, Array]:
        weights = machine.weights
        visible_bias = machine.visible_bias + jnp.sum(weights * shift, axis=1)
        return weights, visible_bias, machine.hidden_bias + mu @ weights

    def update_fn(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        gradient = updates.energy
        of_visible, of_hidden = gradient.visible_bias, gradient.hidden_bias
        of_weights = gradient.weights - of_visible[:, None] * shift - mu[:, None] * of_hidden
        updates = _with_energy(updates, of_weights, of_visible, of_hidden)
        if params is not None:
            params = _with_energy(params, *_to_centred(params.energy))
        updates, state = optimizer.update(updates, state, params)
        step = updates.energy
        of_visible = step.visible_bias - jnp.sum(step.weights * shift, axis=1)
        of_hidden = step.hidden_bias - mu @ step.weights
        return _with_energy(updates, step.weights, of_visible, of_hidden), state

    return optax.GradientTransformation(init_fn, update_fn)


def _with_energy(model: Any, weights: Array, visible_bias: Array, hidden_bias: Array) -> Any:
    """The same model with other parameters of its machine."""
    parameters = (weights, visible_bias, hidden_bias)
    return eqx.tree_at(
        lambda model: (model.energy.weights, model.energy.visible_bias, model.energy.hidden_bias),
        model,
        parameters,
    )
