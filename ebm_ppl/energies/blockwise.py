"""Energies whose coordinates can be redrawn, block by block, from their exact conditional laws."""

import abc
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey
from ebm_ppl.energies._base import AbstractEnergy


class AbstractBlockwiseEnergy(AbstractEnergy):
    r"""An energy that knows the conditional law of each of its blocks given all the others.

    One Gibbs sweep redraws every block once from that law, which leaves $p(x)$ invariant. The kernel
    `BlockGibbs` runs such sweeps in NumPyro's `MCMC` and in the negative phase of contrastive divergence.
    Those who write one implement `gibbs_sweep` for one point beside `_energy`, under `equinox.filter_jit`:
    a loop or a condition that runs outside of a compiled function is otherwise compiled at each call.

    Attributes:
        sweeps_batches: Whether `gibbs_sweep` also takes a batch of points, with leading axes, all of which
            it redraws by one key. That costs less than a key for each.
        is_linear: Whether the energy is linear in its parameters, all its floating array leaves together, so
            that the same energy with all of them scaled by a number is this one times that number.
    """

    sweeps_batches: ClassVar[bool] = False
    is_linear: ClassVar[bool] = False

    @abc.abstractmethod
    def gibbs_sweep(self, rng_key: PRNGKey, x: Event) -> Event:
        """Redraw every block once from its conditional law.

        Args:
            rng_key: Random key.
            x: A point of the support, of shape `event_shape`.

        Returns:
            The next point, of the same shape.
        """


class AbstractLatentEnergy(AbstractBlockwiseEnergy):
    r"""The energy that is left when binary hidden units $h$ are summed out of a joint energy.

    $$E(x) = -\log \sum_h e^{-E(x, h)}$$

    is the free energy of $x$. Given the one layer, the units of the other are independent, so a Gibbs sweep
    draws the hidden layer given the visible one and the visible layer back. As a chain on $x$ it is
    reversible. The two layers share one partition function, which `EnumerationNormalizer` sums over the
    smaller of them.
    """

    @abc.abstractmethod
    def joint_energy(self, x: Event, hidden: Float[Array, " hidden"]) -> Float[Array, ""]:
        """Energy of a visible point together with a state of the hidden units.

        Args:
            x: Visible point, of shape `event_shape`.
            hidden: Zeros and ones, of shape `(hidden,)`.

        Returns:
            The joint energy, a scalar.
        """

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
