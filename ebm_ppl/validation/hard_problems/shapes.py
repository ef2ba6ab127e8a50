"""Scales that differ: funnels, bananas, heavy tails, other units, and constants that swamp the rest."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import Banana, Funnel, Ising, from_callable
from ebm_ppl.validation.hard_problems._base import HardProblem, decades, even, hard_family
from ebm_ppl.validation.hard_problems.modes import mixture


@hard_family(*(2, 3, 10), scale=even(0.5, 3.0))
def funnel(dim: int, scale: float) -> HardProblem:
    """Neal's funnel."""
    log_z = 0.5 * dim * math.log(2 * math.pi) + math.log(scale)
    sd = np.full(dim, math.exp(scale**2 / 4))
    sd[0] = scale
    return HardProblem(Funnel(dim, scale), log_z, np.zeros(dim), sd)


@hard_family(2, a=even(-3.0, 3.0), steepness=decades(0.3, 300.0), scale=decades(0.3, 3.0))
def banana(dim: int, a: float, steepness: float, scale: float) -> HardProblem:
    """Rosenbrock's ridge, up to as narrow as a fiftieth of its bend."""
    assert dim == 2
    log_z = math.log(math.pi * scale * math.sqrt(2 / steepness))
    mean = np.array([a, a**2 + scale**2])
    second = 2 * scale**4 + 4 * a**2 * scale**2 + 1 / (2 * steepness)
    return HardProblem(
        Banana(a, steepness, scale), log_z, mean, np.array([scale, math.sqrt(second)])
    )


class Student(eqx.Module):
    r"""$\frac{\nu + d}{2} \log(1 + |x / s|^2 / \nu)$."""

    df: Float[Array, ""]
    scale: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        return 0.5 * (self.df + x.size) * jnp.log1p(jnp.sum((x / self.scale) ** 2) / self.df)


@hard_family(*(1, 2, 3, 10), df=decades(0.7, 10.0), scale=decades(0.1, 10.0))
def heavy_tails(dim: int, df: float, scale: float) -> HardProblem:
    """Student's t, whose mean or variance may not exist."""
    energy = Student(jnp.asarray(np.float32(df)), jnp.asarray(np.float32(scale)))
    log_z = (
        dim * math.log(scale)
        + 0.5 * dim * math.log(df * math.pi)
        + float(special.gammaln(df / 2) - special.gammaln((df + dim) / 2))
    )
    return HardProblem(
        from_callable(energy, (dim,)),
        log_z,
        # Of averages of draws those whose own variance exists.
        np.zeros(dim) if df > 2.5 else None,
        np.full(dim, scale * math.sqrt(df / (df - 2))) if df > 4.5 else None,
    )


class LogGamma(eqx.Module):
    r"""$\sum_i e^{y_i} - k y_i$ of $y = (x - m) / s$: the logarithm of a gamma variable in other units."""

    shape: Float[Array, ""]
    loc: Float[Array, ""]
    scale: Float[Array, ""]

    def __call__(self, x: Event) -> Scalar:
        """Energy of one point."""
        y = (x - self.loc) / self.scale
        return jnp.sum(jnp.exp(y) - self.shape * y)


@hard_family(
    *(1, 2, 3, 10),
    shape=decades(0.5, 20.0),
    scale=decades(1e-6, 1e6),
    shift=decades(0.01, 1e3),
)
def units(dim: int, shape: float, scale: float, shift: float) -> HardProblem:
    """A skew law in units from 1e-6 to 1e6, up to a thousand of its scales from 0."""
    loc = float(np.float32(scale * shift))
    energy = LogGamma(*(jnp.asarray(np.float32(value)) for value in (shape, loc, scale)))
    mean = loc + scale * float(special.digamma(shape))
    sd = scale * math.sqrt(float(special.polygamma(1, shape)))
    return HardProblem(
        from_callable(energy, (dim,)),
        dim * (math.log(scale) + float(special.gammaln(shape))),
        np.full(dim, mean),
        np.full(dim, sd),
    )


@hard_family(*(1, 2, 3, 10), offset=decades(1.0, 1e8), shift=even(0.5, 3.0))
def offset(dim: int, offset: float, shift: float) -> HardProblem:
    """Two overlapping modes, no further apart than in space, and a constant up to 1e8."""
    locs = np.stack([np.zeros(dim), np.full(dim, shift * min(1.0, math.sqrt(3 / dim)))])
    return mixture(np.array([0.4, 0.6]), locs, np.array([1.0, 0.7]), offset)


@hard_family(*(9, 16), coupling=even(0.0, 1.0), field=even(-0.5, 0.5))
def lattice(dim: int, coupling: float, field: float) -> HardProblem:
    """Ising models on tori of three or four sites a side, by transfer matrices."""
    side = math.isqrt(dim)
    rows = np.array(np.meshgrid(*[[-1.0, 1.0]] * side, indexing="ij")).reshape(side, -1).T
    within = coupling * np.sum(rows * np.roll(rows, 1, axis=1), 1) + field * rows.sum(1)
    transfer = np.exp(coupling * rows @ rows.T + 0.5 * (within[:, None] + within))
    log_z = math.log(np.trace(np.linalg.matrix_power(transfer, side)))
    return HardProblem(Ising((side, side), coupling, field), log_z)
