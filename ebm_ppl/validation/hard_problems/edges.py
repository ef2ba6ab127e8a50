"""Densities that jump: steps, holes, staircases, and supports with an end."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpyro.distributions import constraints
from scipy import special, stats

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


class Boxes(eqx.Module):
    """Constant on boxes that do not meet, infinite elsewhere."""

    low: Float[Array, "k dim"]
    high: Float[Array, "k dim"]
    level: Float[Array, " k"]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        inside = jnp.all((x > self.low) & (x < self.high), axis=-1)
        return jnp.min(jnp.where(inside, self.level, jnp.inf))


@hard_family(
    *(1, 2, 3),
    length=decades(0.1, 10.0),
    gap=decades(0.01, 100.0),
    ratio=decades(0.03, 30.0),
    start=even(-10.0, 10.0),
    step=even(-3.0, 3.0),
)
def steps(
    dim: int, length: float, gap: float, ratio: float, start: float, step: float
) -> HardProblem:
    """Two boxes of unequal heights, apart along the first axis."""
    gap = min(gap, 0.5 * length / FINEST[dim])
    visible = FINEST[dim] * (1 + gap / length)
    lengths = length * np.array([1.0, min(max(ratio, visible), 1 / visible)])
    starts = start + np.array([0.0, lengths[0] + gap])
    low = np.float32(np.stack([starts] + [np.array([-0.3, 0.4])] * (dim - 1), -1))
    size = np.stack([lengths] + [np.array([length, 0.7 * length])] * (dim - 1), -1)
    high = np.float32(low + size)
    level = np.array([0.0, step])
    volume = np.prod(np.float64(high) - np.float64(low), axis=1)
    mass = volume * np.exp(-level)
    middle, width = (np.float64(high) + low) / 2, np.float64(high) - low
    mean = mass @ middle / mass.sum()
    second = mass @ (middle**2 + width**2 / 12) / mass.sum()
    energy = Boxes(jnp.asarray(low), jnp.asarray(high), jnp.asarray(np.float32(level)))
    return HardProblem(
        from_callable(energy, (dim,)), math.log(mass.sum()), mean, np.sqrt(second - mean**2)
    )


class Holed(eqx.Module):
    """A standard normal law from which a ball has been taken."""

    center: Float[Array, " dim"]
    radius: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        away = jnp.sum((x - self.center) ** 2) > self.radius**2
        return jnp.where(away, 0.5 * jnp.sum(x**2), jnp.inf)


@hard_family(
    *(1, 2, 3, 10),
    radius=decades(0.15, 2.0),
    distance=even(0.0, 2.5),
    angle=even(0.0, 2 * math.pi),
    height=even(0.0, math.pi),
)
def hole(dim: int, radius: float, distance: float, angle: float, height: float) -> HardProblem:
    """A standard normal law without a ball, whose probability is that of a noncentral chi square."""
    center = np.float32(distance * direction(dim, angle, height))
    noncentrality = float(np.sum(np.float64(center) ** 2))
    if noncentrality > 0:
        outside = stats.ncx2.sf(radius**2, dim, noncentrality)
    else:
        outside = stats.chi2.sf(radius**2, dim)
    energy = Holed(jnp.asarray(center), jnp.asarray(np.float32(radius)))
    log_z = 0.5 * dim * math.log(2 * math.pi) + math.log(outside)
    return HardProblem(from_callable(energy, (dim,)), log_z)


class Staircase(eqx.Module):
    r"""$a \lfloor |x - m|_1 / w \rfloor$ along each axis."""

    middle: Float[Array, ""]
    width: Float[Array, ""]
    rise: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        return jnp.sum(self.rise * jnp.floor(jnp.abs(x - self.middle) / self.width))


@hard_family(*(1, 2), width=decades(0.01, 10.0), rise=decades(0.1, 10.0), middle=even(-3.0, 3.0))
def staircase(dim: int, width: float, rise: float, middle: float) -> HardProblem:
    r"""A staircase down from the middle: $Z = (2 w / (1 - e^{-a}))^d$."""
    leaves = [jnp.asarray(np.float32(value)) for value in (middle, width, rise)]
    log_z = dim * math.log(2 * width / -math.expm1(-rise))
    return HardProblem(from_callable(Staircase(*leaves), (dim,)), log_z, np.full(dim, middle))


class Betas(eqx.Module):
    """The same beta law along every axis of a cube."""

    a: Float[Array, ""]
    b: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        return -jnp.sum((self.a - 1) * jnp.log(x) + (self.b - 1) * jnp.log1p(-x))


@hard_family(*(1, 2, 3, 10), a=decades(0.2, 30.0), b=decades(0.2, 30.0))
def bounded(dim: int, a: float, b: float) -> HardProblem:
    """Beta laws, with densities that are infinite, finite or 0 at either end."""
    energy = Betas(jnp.asarray(np.float32(a)), jnp.asarray(np.float32(b)))
    support = constraints.independent(constraints.unit_interval, 1)
    mean = a / (a + b)
    sd = math.sqrt(mean * (1 - mean) / (a + b + 1))
    return HardProblem(
        from_callable(energy, (dim,), support),
        dim * float(special.betaln(a, b)),
        np.full(dim, mean),
        np.full(dim, sd),
    )


class Slope(eqx.Module):
    """The same slope along every axis."""

    rate: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        return self.rate * jnp.sum(x)


@hard_family(*(1, 2, 3, 10), rate=decades(0.01, 100.0))
def wall(dim: int, rate: float) -> HardProblem:
    r"""A slope between $-1$ and $1$, with most of the mass at one wall: $Z = (2 \sinh(r) / r)^d$."""
    log_z = rate + math.log(-math.expm1(-2 * rate) / rate)
    mean = 1 / rate - 1 / math.tanh(rate)
    sd = math.sqrt(max(1 / rate**2 - 1 / math.sinh(rate) ** 2, 0.0)) if rate > 0.1 else 3**-0.5
    support = constraints.independent(constraints.interval(-1.0, 1.0), 1)
    energy = from_callable(Slope(jnp.asarray(np.float32(rate))), (dim,), support)
    return HardProblem(energy, dim * log_z, np.full(dim, mean), np.full(dim, sd))
