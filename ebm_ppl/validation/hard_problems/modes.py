"""Several modes: far, narrow, light, or very many."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import from_callable
from ebm_ppl.validation.hard_problems._base import (
    FINEST,
    HardProblem,
    decades,
    direction,
    even,
    hard_family,
)


class Mixture(eqx.Module):
    r"""$-\log \sum_j w_j \prod_i N(x_i; \mu_{ji}, s_j^2)$, less a constant of its own."""

    log_weights: Float[Array, " k"]
    locs: Float[Array, "k dim"]
    scales: Float[Array, " k"]
    offset: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        z = (x - self.locs) / self.scales[:, None]
        size = x.size
        exponents = -0.5 * jnp.sum(z**2, axis=-1) - size * jnp.log(self.scales) + self.log_weights
        return self.offset - logsumexp(exponents) + 0.5 * size * math.log(2 * math.pi)


def mixture(
    weights: np.ndarray, locs: np.ndarray, scales: np.ndarray, offset: float = 0.0
) -> HardProblem:
    """A mixture of round normal laws."""
    locs, scales = (np.asarray(np.float32(one), np.float64) for one in (locs, scales))
    log_weights = np.float32(np.log(weights / np.sum(weights)))
    shares = np.exp(np.float64(log_weights))
    leaves = (log_weights, np.float32(locs), np.float32(scales), np.float32(offset))
    energy = from_callable(Mixture(*map(jnp.asarray, leaves)), locs.shape[1:])
    total = shares.sum()
    mean = shares @ locs / total
    second = shares @ (locs**2 + scales[:, None] ** 2) / total
    log_z = float(np.log(total)) - float(np.float32(offset))
    return HardProblem(energy, log_z, mean, np.sqrt(second - mean**2))


@hard_family(
    *(1, 2, 3, 10),
    distance=decades(1.0, 1000.0),
    scale=decades(0.01, 10.0),
    share=even(0.05, 0.95),
    angle=even(0.0, 2 * math.pi),
    height=even(0.0, math.pi),
)
def far_mode(
    dim: int, distance: float, scale: float, share: float, angle: float, height: float
) -> HardProblem:
    """A standard normal law and another one, anywhere and of any width."""
    locs = np.stack([np.zeros(dim), distance * direction(dim, angle, height)])
    # A narrow mode has the last word within its width times its distance.
    return mixture(np.array([1 - share, share]), locs, np.array([1.0, max(scale, FINEST[dim])]))


@hard_family(
    *(1, 2, 3, 10),
    spread=decades(1.0, 30.0),
    scale=decades(0.2, 2.0),
    number=even(3.0, 8.0),
    turn=even(0.0, 2 * math.pi),
)
def scattered_modes(
    dim: int, spread: float, scale: float, number: float, turn: float
) -> HardProblem:
    """Up to eight modes of unequal weights and widths, scattered about."""
    index = np.arange(1, int(number) + 1)
    # Multiples of the golden ratio's powers spread evenly and repeat nowhere.
    places = np.outer(index, 1.618034 ** -np.arange(1, dim + 1)) + turn
    locs = spread * (2 * np.mod(places, 1.0) - 1)
    return mixture(1.0 / index, locs, scale * (0.5 + np.mod(index * 0.618034, 1.0)))


class Rugged(eqx.Module):
    r"""$\sum_i x_i^2 / 2 s^2 + a \cos(k x_i + \phi)$."""

    scale: Float[Array, ""]
    height: Float[Array, ""]
    wave: Float[Array, ""]
    phase: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        return jnp.sum(
            0.5 * (x / self.scale) ** 2 + self.height * jnp.cos(self.wave * x + self.phase)
        )


@hard_family(
    *(1, 2, 3, 10),
    scale=decades(0.3, 100.0),
    height=decades(0.3, 8.0),
    wells=decades(1.0, 30.0),
    phase=even(0.0, 2 * math.pi),
)
def many_wells(dim: int, scale: float, height: float, wells: float, phase: float) -> HardProblem:
    r"""Wells in a row along every axis.

    With $e^{-a \cos u} = \sum_n (-1)^n I_n(a) e^{i n u}$ (Jacobi and Anger), and the characteristic function
    of a normal law, $Z$ of one coordinate is
    $\sqrt{2 \pi} s \sum_n (-1)^n I_n(a) \cos(n \phi) e^{-n^2 k^2 s^2 / 2}$.
    """
    wave = float(
        np.float32(math.pi * wells / (2 * scale))
    )  # `wells` within two scales on each side
    n = np.arange(-80, 81)
    terms = (-1.0) ** n * special.ive(np.abs(n), height) * np.exp(-0.5 * (n * wave * scale) ** 2)
    total = float(np.sum(terms * np.cos(n * phase)))
    log_z = math.log(math.sqrt(2 * math.pi) * scale * total) + height
    leaves = [jnp.asarray(np.float32(value)) for value in (scale, height, wave, phase)]
    return HardProblem(from_callable(Rugged(*leaves), (dim,)), dim * log_z)
