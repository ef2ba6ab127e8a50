"""Restoration: what an array was before parts of it were lost, blurred or covered by noise."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite, check_positive, check_shape, is_traced
from ebm_ppl._types import Event, PRNGKey
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.energies import AbstractEnergy, ConditionedEnergy
from ebm_ppl.potentials import as_model
from ebm_ppl.samplers import ChEESHMC
from ebm_ppl.tasks._flat import FlatEnergy, joined
from ebm_ppl.tasks._posteriors import KernelOf, posteriors, run_settings

Operator: TypeAlias = Callable[[Any], Any]


class RestorationModel(eqx.Module):
    """NumPyro model of an array that an energy describes and that was observed in part, blurred or in noise.

    It is what [`restoration_model`][ebm_ppl.tasks.restoration_model] returns, a callable without arguments.

    Attributes:
        energy: Energy of the array.
        values: The observed entries, in a row.
        shape: Shape of what was observed.
        seen: Places of the observed entries in a row.
        noise: Standard deviation of the noise on each observed entry, or `None` for exact ones.
        operator: What the array went through, or `None`.
        log_z: Normaliser of the energy.
    """

    energy: AbstractEnergy
    values: Float[Array, " num_observed"]
    noise: Array | None
    operator: Operator | None
    log_z: Any
    shape: tuple[int, ...] = eqx.field(static=True)
    seen: tuple[int, ...] = eqx.field(static=True)

    def __call__(self) -> Event:
        """Sample the array `x` and return it."""
        if self.noise is None:
            return self._given_exactly()
        x = jnp.asarray(numpyro.sample("x", EnergyDistribution(self.energy, self.log_z)))
        predicted = x if self.operator is None else self.operator(x)
        at = predicted.ravel()[np.array(self.seen)]
        law = dist.Normal(at, self.noise).to_event(1)
        numpyro.sample("observed", law, obs=self.values)
        return x

    def _given_exactly(self) -> Event:
        law = ConditionedEnergy(FlatEnergy(self.energy), self.values, self.seen)
        free = jnp.asarray(numpyro.sample("free", EnergyDistribution(law, self.log_z)))
        x = joined(free, self.values, self.seen, self.shape)
        numpyro.deterministic("x", x)
        return x


def restoration_model(
    energy: AbstractEnergy,
    observed: Any,
    *,
    mask: Any = None,
    noise: Any = None,
    operator: Any = None,
    log_z: Any = None,
) -> RestorationModel:
    r"""A NumPyro model of an array, given what was observed of it, with an energy for prior.

    | given | model | task |
    | --- | --- | --- |
    | `mask` | $p(x \mid x_M = y_M)$, exactly | inpainting |
    | `noise` | $y = x + \sigma \xi$ | denoising |
    | `operator`, `noise` | $y = A x + \sigma \xi$ | deblurring |
    | `mask` with `noise` | the same, of the entries of $y$ in $M$ | both |

    with $x \sim \exp(-E) / Z$ and $\xi \sim N(0, I)$. The site `x` is the array; where entries are given
    exactly it is deterministic, and the site `free` holds the others, in a row. It runs under any kernel that
    the energy's support allows; $Z$ does not matter as long as the energy is fixed.

    Args:
        energy: Energy of the array, such as a trained one; its support may be any for `noise`, and constrains
            entry by entry for a mask without noise.
        observed: What was observed, $y$: of shape `event_shape`, or what `operator` gives. Entries that
            `mask` leaves out may be anything, NaN included.
        mask: Boolean array of the shape of `observed`, True where it was observed; `None` for everywhere.
        noise: Standard deviation $\sigma$ of the noise, in the units of `observed`: a number, or an array of
            its shape. `None` if what was observed is exact, which needs a mask and no operator.
        operator: $A$: a function that maps an array of shape `event_shape` to one of the shape of `observed`,
            written in JAX, which need not be linear; or a matrix of shape `(observed_size, event_size)`, for
            the entries in a row.
        log_z: Normaliser of the energy where its parameters are random, as `EnergyDistribution` takes it; of
            the energy of the free entries, for a mask without noise.

    Returns:
        The model, without arguments, for the `model` argument of any NumPyro kernel.

    Raises:
        TypeError: If `energy` is not an `AbstractEnergy`.
        ValueError: If an argument has another shape or is outside its bounds, neither `mask` nor
            `noise` is given, `operator` comes without `noise`, or a mask leaves nothing to find.

    Examples:
        >>> import jax, numpyro
        >>> from numpyro.infer import MCMC, NUTS
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.tasks import restoration_model
        >>> energy = Gaussian([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]])
        >>> model = restoration_model(energy, [1.0, float("nan")], mask=[True, False])
        >>> mcmc = MCMC(NUTS(model), num_warmup=200, num_samples=500, progress_bar=False)
        >>> mcmc.run(jax.random.key(0))
        >>> x = mcmc.get_samples()["x"]  # the second entry has mean 0.9 and standard deviation 0.44
        >>> x.shape, float(x[0, 0])
        ((500, 2), 1.0)
    """
    problem = _problem(energy, np.shape(observed), mask, noise, operator)
    values = _values_of(problem, jnp.asarray(observed, dtype=float)[None])[0]
    return problem.model(energy, values, log_z)


class Restoration(NamedTuple):
    """Posteriors of restored arrays.

    Attributes:
        mean: Posterior mean of each entry, shape `(num, *event_shape)`.
        standard_deviation: Posterior standard deviation of each entry, of that shape.
        lower: Lower ends of the central intervals of each entry, of that shape.
        upper: Upper ends.
        draws: Draws, shape `(num, num_chains, num_samples, *event_shape)`.
        r_hat: Split R-hat of each entry, shape `(num, *event_shape)`; NaN where an entry is known.
        ess: Effective sample size of each entry, of that shape; NaN where an entry is known.
    """

    mean: Float[Array, "num *event"]
    standard_deviation: Float[Array, "num *event"]
    lower: Float[Array, "num *event"]
    upper: Float[Array, "num *event"]
    draws: Float[Array, "num chains samples *event"]
    r_hat: Float[np.ndarray, "num *event"]
    ess: Float[np.ndarray, "num *event"]

    @property
    def worst_r_hat(self) -> float:
        """Largest R-hat of any entry."""
        return float(np.nanmax(self.r_hat))

    @property
    def smallest_ess(self) -> float:
        """Smallest effective sample size of any entry."""
        return float(np.nanmin(self.ess))

    def __str__(self) -> str:
        return (
            f"{len(self.mean)} restored, worst R-hat {self.worst_r_hat:.3f}, smallest effective sample "
            f"size {self.smallest_ess:.0f}"
        )


def restore(
    energy: AbstractEnergy,
    observed: Any,
    *,
    rng_key: PRNGKey,
    mask: Any = None,
    noise: Any = None,
    operator: Any = None,
    kernel: KernelOf = ChEESHMC,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 16,
    probability: Any = 0.9,
) -> Restoration:
    r"""Restore arrays: draw what they were, given what was observed of them.

    The posterior of each is that of [`restoration_model`][ebm_ppl.tasks.restoration_model]: inpainting with
    `mask`, denoising with `noise`, deblurring with `operator` and `noise`. All arrays, and all chains of
    each, advance together in one compiled program. Chains start far apart, where the kernel's `init_strategy`
    says, and R-hat tells whether they came together.

    Args:
        energy: Energy of one array, such as a trained one.
        observed: What was observed, shape `(num, *observed_shape)`.
        rng_key: Random key.
        mask: Boolean array of shape `observed_shape`, True where all arrays were observed.
        noise: Standard deviation of the noise: a number, or an array of shape `observed_shape`.
        operator: A function that maps an array of shape `event_shape` to one of shape `observed_shape`, or a
            matrix of shape `(observed_size, event_size)`.
        kernel: What makes a kernel of a model: a kernel's class, or a function. By default HMC with one
            trajectory length for all chains of an array; `lambda model: ReplicaExchange(MALA(model))`
            for laws with modes far apart.
        num_warmup: Steps of warm-up.
        num_samples: Draws of each chain.
        num_chains: Chains for each array.
        probability: Posterior probability of the interval of each entry.

    Returns:
        Draws, their diagnostics, and a mean, standard deviation and interval of each entry.

    Raises:
        TypeError: If `energy` is not an `AbstractEnergy`.
        ValueError: If an argument is outside its bounds, as `restoration_model` has them.

    Warns:
        SlowMixingWarning: If R-hat of an entry is above 1.01.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.tasks import restore
        >>> energy = Gaussian([0.0, 0.0], [[1.0, 0.9], [0.9, 1.0]])
        >>> found = restore(energy, [[1.0, 0.0]], mask=[True, False], rng_key=jax.random.key(0))
        >>> print(f"{found.mean[0, 1]:.1f} ± {found.standard_deviation[0, 1]:.1f}")
        0.9 ± 0.4

    References:
        A. Vehtari, A. Gelman, D. Simpson, B. Carpenter and P.-C. Bürkner (2021). Rank-normalization, folding,
        and localization: an improved R-hat. *Bayesian Analysis* 16.
    """
    settings = run_settings(rng_key, num_warmup, num_samples, num_chains, probability)
    if np.ndim(observed) == 0 or len(observed) == 0:
        raise ValueError(
            f"Expected `observed` of shape (num, *observed_shape) with num >= 1; got {np.shape(observed)}."
        )
    problem = _problem(energy, np.shape(observed)[1:], mask, noise, operator)
    values = _values_of(problem, jnp.asarray(observed, dtype=float))
    _check_inside(problem, energy, values)

    def model_at(shared: Any, values: Any) -> RestorationModel:
        return shared[0].model(shared[1], values, 0.0)  # the energy is fixed, and so is Z

    shared = problem, energy
    return Restoration(*posteriors(model_at, shared, values, kernel, rng_key, settings, "arrays"))


class _Problem(eqx.Module):
    """What all arrays share: which entries were observed, in what noise, after what."""

    shape: tuple[int, ...] = eqx.field(static=True)
    seen: tuple[int, ...] = eqx.field(static=True)
    noise: Array | None
    operator: Operator | None

    def model(self, energy: AbstractEnergy, values: Array, log_z: Any) -> RestorationModel:
        """The model of one array."""
        return RestorationModel(
            energy, values, self.noise, self.operator, log_z, self.shape, self.seen
        )


def _problem(
    energy: AbstractEnergy, shape: tuple[int, ...], mask: Any, noise: Any, operator: Any
) -> _Problem:
    """Read what was done to arrays, which were then observed in such a shape."""
    as_model(energy)  # refuses what is no energy
    if noise is None and (mask is None or operator is not None):
        raise ValueError(
            "`noise` must be given unless a `mask` alone says what was observed; got None. An operator "
            "without noise pins arrays to a surface, on which a kernel cannot move: give it a small one."
        )
    apply = _as_operator(energy, operator)
    expected = energy.event_shape if apply is None else _shape_after(apply, energy)
    if shape != expected:
        raise ValueError(f"Expected one array of `observed` of shape {expected}; got {shape}.")
    seen = _places(mask, shape, noise is None)
    return _Problem(shape, seen, _as_noise(noise, shape, seen), apply)


def _as_operator(energy: AbstractEnergy, operator: Any) -> Operator | None:
    if operator is None or callable(operator):
        return operator
    matrix = jnp.asarray(operator, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] != energy.event_size:
        raise ValueError(
            f"Expected `operator`, a matrix, of shape (observed_size, {energy.event_size}); got "
            f"{matrix.shape}."
        )
    check_finite("operator", matrix)
    return _Matrix(matrix)


class _Matrix(eqx.Module):
    """A matrix that maps arrays, row by row, to vectors."""

    matrix: Float[Array, "rows columns"]

    def __call__(self, x: Event) -> Float[Array, " rows"]:
        return jnp.matmul(self.matrix, x.ravel(), precision=jax.lax.Precision.HIGHEST)


def _shape_after(operator: Operator, energy: AbstractEnergy) -> tuple[int, ...]:
    point = jax.ShapeDtypeStruct(energy.event_shape, jnp.result_type(float))
    return tuple(jax.eval_shape(operator, point).shape)


def _places(mask: Any, shape: tuple[int, ...], is_exact: bool) -> tuple[int, ...]:
    """Places in a row where a mask is True."""
    if mask is None:
        return tuple(range(math.prod(shape)))
    seen = np.asarray(mask)
    if seen.dtype != bool:
        raise ValueError(f"`mask` must hold True and False; got an array of {seen.dtype}.")
    check_shape("mask", seen, shape)
    if not seen.any() or (is_exact and seen.all()):
        bound = "at least one entry" + (" and fewer than all" if is_exact else "")
        raise ValueError(f"`mask` must be True at {bound}; got {seen.sum()} of {seen.size}.")
    return tuple(np.flatnonzero(seen).tolist())


def _as_noise(noise: Any, shape: tuple[int, ...], seen: tuple[int, ...]) -> Array | None:
    if noise is None:
        return None
    if not is_traced(noise):
        if np.ndim(noise) == 0:
            check_positive("noise", noise)
        check_finite("noise", noise)
    if np.ndim(noise) > 0:
        check_shape("noise", noise, shape)
        noise = jnp.asarray(noise, dtype=float).ravel()[np.array(seen)]
        check_positive("noise", noise.min())
    return jnp.asarray(noise, dtype=float)


def _values_of(problem: _Problem, observed: Array) -> Float[Array, "num num_observed"]:
    """What was observed of each array, in a row."""
    rows = observed.reshape(len(observed), -1)[:, np.array(problem.seen)]
    check_finite("observed", rows)
    return rows


def _check_inside(problem: _Problem, energy: AbstractEnergy, values: Array) -> None:
    """Refuse entries that are given exactly and that the energy does not allow, which traced ones hide."""
    if problem.noise is None:
        for row in values:
            ConditionedEnergy(FlatEnergy(energy), row, problem.seen)
