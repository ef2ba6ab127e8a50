"""Hypothesis strategies: random normalisable energies, points of their support, data sets, kernels.

Hypothesis is an optional dependency, and no other module of the package imports it.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from hypothesis.extra import numpy as hnp
from numpyro.distributions import biject_to, constraints
from numpyro.infer.mcmc import MCMCKernel

from ebm_ppl import energies as ebm
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import EnergyPotential
from ebm_ppl.samplers import AbstractKernel
from ebm_ppl.validation import cases
from ebm_ppl.validation.hard_problems import FAMILIES, HardProblem

Energies: TypeAlias = st.SearchStrategy[ebm.AbstractEnergy]
"""A strategy whose examples are energies."""


@st.composite
def energies(
    draw: st.DrawFn, dim: int | None = None, bounded: bool | None = None
) -> ebm.AbstractEnergy:
    """Random normalisable energies of every shipped family, and compositions of them.

    Each energy is bounded below and integrable at every inverse temperature, so that sums and
    tempered versions normalise too. Parameters are moderate: no scale is below 0.3 or above 3.

    Args:
        draw: Supplied by Hypothesis.
        dim: Number of coordinates; by default 1 or 2. One coordinate comes both as `()` and `(1,)`.
        bounded: Whether the support has a boundary (the unit interval or the positive numbers, in
            every coordinate) or is all reals; by default either.

    Returns:
        A strategy for energies.
    """
    dim = draw(st.sampled_from([1, 2])) if dim is None else dim
    bounded = draw(st.booleans()) if bounded is None else bounded
    if bounded:
        family = draw(st.sampled_from([_betas, _gammas]))
        scalar = family()
        shape = draw(st.sampled_from([(), (1,)])) if dim == 1 else (dim,)
        plain = scalar if shape == () else scalar.map(_Entrywise(shape))
        return draw(_composed(plain))
    if dim == 1 and draw(st.booleans()):
        return draw(_composed(_on_the_line()))
    plain = st.one_of(*(family(dim) for family in _vector_families(dim)))
    conditioned = st.one_of(*(family(dim + 1) for family in _vector_families(dim + 1)))
    return draw(st.one_of(_composed(plain), _conditioned(conditioned)))


def points(energy: ebm.AbstractEnergy) -> st.SearchStrategy[npt.NDArray[np.float32]]:
    """Points in the interior of an energy's support, of shape `event_shape`.

    They are images of unconstrained coordinates between -3 and 3, or states of a discrete energy.
    """
    return datasets(energy, min_size=1, max_size=1).map(lambda data: data[0])


@st.composite
def datasets(
    draw: st.DrawFn, energy: ebm.AbstractEnergy, min_size: int = 1, max_size: int = 20
) -> npt.NDArray[np.float32]:
    """Data sets in the interior of an energy's support, of shape `(n, *event_shape)`.

    Args:
        draw: Supplied by Hypothesis.
        energy: The energy whose support and event shape the data have.
        min_size: Smallest number of points.
        max_size: Largest number of points.

    Returns:
        A strategy for arrays.

    Raises:
        ValueError: If the support is discrete and not finite.
    """
    size = draw(st.integers(min_size, max_size))
    if energy.support.is_discrete:
        space = StateSpace.of(energy)
        if space is None:
            raise ValueError(
                f"`energy` must have finitely many states or real points; got {energy.support!r}."
            )
        words = draw(hnp.arrays(np.uint16, (size, energy.event_size)))
        states = np.array(space.lowest) + space.step * (words % np.array(space.sizes))
        return states.reshape(size, *energy.event_shape).astype(np.float32)
    transform = biject_to(energy.support)
    shape = (size, *transform.inverse_shape(energy.event_shape))
    unconstrained = draw(hnp.arrays(np.float32, shape, elements=_floats(-3.0, 3.0)))
    return np.asarray(transform(unconstrained), dtype=np.float32)


@st.composite
def kernels(
    draw: st.DrawFn, potential_fn: EnergyPotential, exact: bool | None = None
) -> MCMCKernel:
    """Kernels of every family that the suite knows, and ours with random tuning.

    Args:
        draw: Supplied by Hypothesis.
        potential_fn: The potential that they sample.
        exact: Whether they claim to be exact; by default either.

    Returns:
        A strategy for kernels.
    """
    known = [
        case
        for case in cases.discover().values()
        if exact in (None, case.exact) and case.moves_on(potential_fn.energy)
    ]
    kernel = draw(st.sampled_from(known)).make(potential_fn)
    tunable = "step_size" in inspect.signature(type(kernel)).parameters
    if not (isinstance(kernel, AbstractKernel) and tunable):
        return kernel
    dim = potential_fn.energy.event_size
    dense = draw(st.booleans())
    matrix = draw(_covariances(dim)) if dense else np.exp(draw(_vectors(dim)))
    family: Any = type(kernel)
    return family(
        potential_fn=potential_fn,
        step_size=draw(_floats(0.01, 0.5)),
        inverse_mass_matrix=matrix,
        dense_mass=dense,
    )


@st.composite
def hard_problems(
    draw: st.DrawFn, family: str | None = None, dim: int | None = None
) -> HardProblem:
    """Hard problems with their truth: far modes, jumps, funnels, heavy tails, other units, lattices.

    They shrink to the least hard of their family.

    Args:
        draw: Supplied by Hypothesis.
        family: Name of a family in `ebm_ppl.validation.hard_problems.FAMILIES`; by default any that comes
            in `dim` coordinates.
        dim: Number of coordinates; by default any that the family comes in.

    Returns:
        A strategy for problems.
    """
    suited = [
        one
        for name, one in FAMILIES.items()
        if family in (None, name) and (dim is None or dim in one.dims)
    ]
    chosen = draw(st.sampled_from(suited))
    size = draw(st.sampled_from(chosen.dims)) if dim is None else dim
    count = chosen.num_parameters
    return chosen.at(size, draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count)))


def _floats(lower: float, upper: float) -> st.SearchStrategy[float]:
    lower, upper = float(np.float32(lower)), float(np.float32(upper))
    return st.floats(lower, upper, width=32, allow_subnormal=False)


def _vectors(*shape: int) -> st.SearchStrategy[npt.NDArray[np.float32]]:
    return hnp.arrays(np.float32, shape, elements=_floats(-2.0, 2.0))


@st.composite
def _covariances(draw: st.DrawFn, *shape: int) -> npt.NDArray[np.float64]:
    """Covariances from a Cholesky factor with diagonal in [0.5, 1.5]; the last axis is the size."""
    dim = shape[-1]
    below = draw(hnp.arrays(np.float32, (*shape, dim), elements=_floats(-0.5, 0.5)))
    diagonal = draw(hnp.arrays(np.float32, shape, elements=_floats(0.5, 1.5)))
    factor = np.tril(below.astype(np.float64), -1) + diagonal[..., None] * np.eye(dim)
    return factor @ np.swapaxes(factor, -1, -2)


def _betas() -> Energies:
    # Concentrations of at least 1 keep the energy bounded below, also in sums.
    return st.builds(ebm.Beta, _floats(1.0, 5.0), _floats(1.0, 5.0))


def _gammas() -> Energies:
    return st.builds(ebm.Gamma, _floats(1.0, 5.0), _floats(0.5, 3.0))


def _neural(shape: tuple[int, ...]) -> Energies:
    def build(seed: int, activation: str, confinement: float) -> ebm.AbstractEnergy:
        return ebm.NeuralEnergy(
            shape,
            rng_key=jax.random.key(seed),
            width=4,
            depth=1,
            activation=activation,
            confinement=confinement,
        )

    activations = st.sampled_from(["silu", "gelu", "softplus", "tanh"])
    return st.builds(build, st.integers(0, 2**31 - 1), activations, _floats(0.5, 2.0))


def _under_noise(dim: int) -> Energies:
    def build(seed: int, data_scale: float, sigma: float) -> ebm.AbstractEnergy:
        key = jax.random.key(seed)
        return ebm.NeuralNoiseConditionalEnergy(
            (dim,), rng_key=key, width=4, depth=1, data_scale=data_scale
        ).at(sigma=sigma)

    return st.builds(build, st.integers(0, 2**31 - 1), _floats(0.5, 2.0), _floats(0.3, 2.0))


def _given(dim: int) -> Energies:
    """Regressions on one covariate, given and guided; their means are within 5 of the origin."""

    def build(
        slopes: Any, intercept: Any, covariance: Any, conditions: Any, scale: float | None
    ) -> ebm.AbstractEnergy:
        y, null = conditions[:1], conditions[1:]
        energy = ebm.ConditionalGaussian(slopes[:, None], intercept, covariance, null)
        return (energy if scale is None else energy.guided(scale)).at(y=y)

    slopes = hnp.arrays(np.float32, (dim,), elements=_floats(-1.0, 1.0))
    conditions = hnp.arrays(np.float32, (2,), elements=_floats(-1.0, 1.0))
    scales = st.none() | _floats(0.0, 1.0)
    return st.builds(build, slopes, _vectors(dim), _covariances(dim), conditions, scales)


def _likelihoods(dim: int) -> Energies:
    """Likelihoods of a mean, of two observations, whose posterior means are within 5 of the origin."""

    def build(slopes: Any, covariance: Any, observations: Any) -> ebm.AbstractEnergy:
        term = ebm.ConditionalGaussian(slopes[:, None], np.zeros(dim), covariance)
        return ebm.LikelihoodEnergy(term, observations)

    slopes = hnp.arrays(np.float32, (dim,), elements=_floats(-1.0, 1.0))
    return st.builds(build, slopes, _covariances(dim), _vectors(2, 1))


def _affine(dim: int) -> Energies:
    scales = hnp.arrays(np.float32, (dim,), elements=_floats(0.75, 1.5))
    return st.builds(ebm.AffineEnergy, _gaussians(dim), _vectors(dim), scales)


def _gaussians(dim: int) -> Energies:
    return st.builds(ebm.Gaussian, _vectors(dim), _covariances(dim))


def _mixtures(dim: int) -> Energies:
    weights = hnp.arrays(np.float32, (2,), elements=_floats(0.2, 1.0))
    return st.builds(ebm.GaussianMixture, weights, _vectors(2, dim), _covariances(2, dim))


def _wells(dim: int) -> Energies:
    symmetric = st.builds(
        ebm.DoubleWell, st.just(dim), _floats(0.5, 3.0), separation=_floats(1.0, 3.0)
    )
    tilted = st.builds(
        ebm.TiltedDoubleWell,
        st.just(dim),
        _floats(0.5, 3.0),
        separation=_floats(1.0, 3.0),
        tilt=_floats(-1.0, 1.0),
    )
    return st.one_of(symmetric, tilted)


def _rings(_: int) -> Energies:
    return st.builds(ebm.Ring, _floats(1.0, 3.0), _floats(0.3, 1.0))


def _bananas(_: int) -> Energies:
    return st.builds(ebm.Banana, _floats(-1.0, 1.0), _floats(0.5, 3.0), _floats(0.3, 1.0))


def _funnels(dim: int) -> Energies:
    return st.builds(ebm.Funnel, st.just(dim), _floats(0.3, 1.0))


def _adapted(dim: int) -> Energies:
    return _gaussians(dim).map(lambda energy: ebm.from_callable(energy, (dim,)))


def _vector_families(dim: int) -> tuple[Callable[[int], Energies], ...]:
    general = (
        _gaussians,
        _mixtures,
        _wells,
        _given,
        _likelihoods,
        _affine,
        _adapted,
        _under_noise,
        lambda size: _neural((size,)),
    )
    if dim == 1:
        return general
    return (*general, _funnels, _bananas, _rings) if dim == 2 else (*general, _funnels)


def _on_the_line() -> Energies:
    """Energies on scalars, `event_shape == ()`."""
    quartic = st.builds(ebm.Quartic, _floats(-2.0, 2.0), _floats(-1.0, 1.0), _floats(-1.0, 1.0))
    return st.one_of(quartic, _neural(()))


def _composed(plain: Energies) -> Energies:
    """Energies as they are, tempered, and in sums."""
    tempered = st.builds(ebm.TemperedEnergy, plain, _floats(0.5, 2.0))
    return st.one_of(plain, tempered, st.builds(ebm.SumEnergy, plain, plain))


def _conditioned(joint: Energies) -> Energies:
    """Energies with their last coordinate fixed, which leaves each family's own kind of law."""

    def build(energy: ebm.AbstractEnergy, value: float) -> ebm.AbstractEnergy:
        return ebm.ConditionedEnergy(energy, [value], (energy.event_size - 1,))

    return st.builds(build, joint, _floats(-1.0, 1.0))


class _EntrywiseSum(eqx.Module):
    """The same scalar energy on every entry of an array."""

    energy: ebm.AbstractEnergy

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sum(jax.vmap(self.energy)(jnp.ravel(x)))


class _Entrywise:
    """Turns a scalar energy into one on arrays of a given shape, its support in every entry."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __call__(self, energy: ebm.AbstractEnergy) -> ebm.AbstractEnergy:
        support: Any = constraints.independent(energy.support, len(self.shape))
        return ebm.from_callable(_EntrywiseSum(energy), self.shape, support)
