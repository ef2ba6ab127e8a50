"""Energies whose coordinates can be redrawn, block by block, from their exact conditional laws."""

import abc
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies._base import AbstractEnergy
from ebm_ppl.energies._layers import product


class AbstractBlockwiseEnergy(AbstractEnergy):
    r"""An energy that knows the conditional law of each of its blocks given all the others.

    One Gibbs sweep redraws every block once from that law, which leaves $p(x)$ invariant. The kernel
    `BlockGibbs` runs such sweeps in NumPyro's `MCMC` and in the negative phase of contrastive divergence.
    Those who write one implement `gibbs_sweep` for one point beside `_energy`, under `equinox.filter_jit`:
    a loop or a condition that runs outside of a compiled function is otherwise compiled at each call.

    Attributes:
        sweeps_batches: Whether `gibbs_sweep` also takes a batch of points, with leading axes, all of which
            it redraws by one key. That costs less than a key for each.
    """

    sweeps_batches: ClassVar[bool] = False

    @abc.abstractmethod
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Redraw every block once from its conditional law.

        Args:
            rng_key: Random key.
            x: A point of the support, of shape `event_shape`.

        Returns:
            The next point, of the same shape.
        """


class AbstractLinearEnergy(AbstractBlockwiseEnergy):
    r"""Sites that couplings make dependent, with an energy that is linear in its parameters.

    With $\theta$ for all floating array leaves together, couplings and fields,
    $$E_{s \theta + t \theta'}(x) = s E_\theta(x) + t E_{\theta'}(x),$$
    of $x$ alone or, in an [`AbstractLatentEnergy`][ebm_ppl.energies.AbstractLatentEnergy], of $x$ and the
    hidden units. So every law between two such ones is of the same class, and is swept by the same blocks:
    see [`LinearPath`][ebm_ppl.annealing.LinearPath]. Without couplings the sites are independent, and one
    sweep draws all of them exactly.
    """

    @abc.abstractmethod
    def uncoupled(self, fields: Any = 0.0) -> Self:
        """The energy without couplings, its sites in other fields, its hidden units fair coins.

        Args:
            fields: The parameter of single sites: one number for all, or an array of its shape.

        Returns:
            The energy.

        Raises:
            ValueError: If `fields` has another shape or is not finite.
        """

    @property
    @abc.abstractmethod
    def log_z_uncoupled(self) -> Scalar:
        """Log partition function of the sites in their fields, as if there were no couplings."""


class AbstractLatentEnergy(AbstractBlockwiseEnergy):
    r"""The energy that is left when binary hidden units $h$ are summed out of a joint energy.

    $$E(x, h) = E(x, 0) - h^\top \ell(x), \qquad
    E(x) = -\log \sum_h e^{-E(x, h)} = E(x, 0) - \sum_j \log\left(1 + e^{\ell_j(x)}\right)$$

    is the free energy of $x$, with the log odds $\ell(x)$ of the hidden units. Given the one layer, the units
    of the other are independent, so a Gibbs sweep draws the hidden layer given the visible one and the
    visible layer back. As a chain on $x$ it is reversible. The two layers share one partition function,
    which `EnumerationNormalizer` sums over the smaller of them.
    """

    @abc.abstractmethod
    def visible_energy(self, x: Event) -> Scalar:
        """Energy $E(x, 0)$ of a visible point while all hidden units are 0.

        Args:
            x: Visible point, of shape `event_shape`.

        Returns:
            The energy, a scalar.
        """

    @abc.abstractmethod
    def hidden_logits(self, x: Event) -> Float[Array, "*points hidden"]:
        """Log odds of the hidden units given a visible point.

        Args:
            x: Visible point, of shape `event_shape`.

        Returns:
            The log odds, of shape `(hidden,)`.
        """

    def _energy(self, x: Event) -> Scalar:
        return self.visible_energy(x) - jnp.sum(jax.nn.softplus(self.hidden_logits(x)))

    def joint_energy(self, x: Event, hidden: Float[Array, " hidden"]) -> Scalar:
        """Energy of a visible point together with a state of the hidden units.

        Args:
            x: Visible point, of shape `event_shape`.
            hidden: Zeros and ones, of shape `(hidden,)`.

        Returns:
            The joint energy, a scalar.
        """
        return self.visible_energy(x) - product(hidden, self.hidden_logits(x))

    @abc.abstractmethod
    def sample_hidden(self, rng_key: PRNGKey, x: Event) -> Float[Array, " hidden"]:
        """Draw the hidden units given a visible point.

        Args:
            rng_key: Random key.
            x: Visible point, of shape `event_shape`.

        Returns:
            Zeros and ones, of shape `(hidden,)`.
        """

    @abc.abstractmethod
    def sample_visible(self, rng_key: PRNGKey, hidden: Float[Array, " hidden"]) -> Event:
        """Draw a visible point given the hidden units.

        Args:
            rng_key: Random key.
            hidden: Zeros and ones, of shape `(hidden,)`.

        Returns:
            A visible point, of shape `event_shape`.
        """

    @property
    @abc.abstractmethod
    def hidden_marginal(self) -> AbstractEnergy:
        r"""Energy of the hidden units, $-\log \int e^{-E(x, h)} dx$, of the same partition function."""

    @eqx.filter_jit
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Draw the hidden layer given the visible one, and the visible layer back.

        Args:
            rng_key: Random key.
            x: Visible point, of shape `event_shape`.

        Returns:
            The next visible point, of the same shape.
        """
        key_hidden, key_visible = jax.random.split(rng_key)
        return self.sample_visible(key_visible, self.sample_hidden(key_hidden, x))
