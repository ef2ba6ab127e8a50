"""The interface of paths between laws."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractEnergy


class AbstractPath(eqx.Module):
    r"""Unnormalised laws $f_\beta$ from a base law at $\beta = 0$ to a target at $\beta = 1$.

    The base law has exact draws and a known normaliser; $f_1 = \exp(-E)$ for the target's energy $E$.
    """

    @property
    @abc.abstractmethod
    def energy(self) -> AbstractEnergy:
        """The energy at the end of the path."""

    @property
    @abc.abstractmethod
    def log_z_base(self) -> Scalar:
        r"""Log partition function at $\beta = 0$."""

    @abc.abstractmethod
    def sample_base(self, rng_key: PRNGKey, count: int) -> Float[Array, "count *event"]:
        r"""Draw independently at $\beta = 0$."""

    @abc.abstractmethod
    def at(self, inverse_temperature: Scalar) -> AbstractEnergy:
        r"""The energy $-\log f_\beta$."""

    @abc.abstractmethod
    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        r"""Log weight of a step along the path, $\log f_{\beta'}(x) - \log f_\beta(x)$."""
