"""Efficiencies by simulation: many data sets from the truth, one estimate each, in one compiled run."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_shape
from ebm_ppl._precision import float64
from ebm_ppl._types import PRNGKey
from ebm_ppl.validation.compilation import jit_lightly
from ebm_ppl.validation.estimation.family import Parameters
from ebm_ppl.validation.estimation.grid_law import GridLaw

Estimates = Float[np.ndarray, "r p"]


def draw_data_sets(
    law: GridLaw, rng_key: PRNGKey, num_data_sets: int, size: int
) -> Float[Array, "r n"]:
    r"""Independent data sets by inversion of the law's distribution function, on the device.

    The density is taken to be constant over the cell of each node, which raises the mean of a function
    $f$ by $h^2 / 24$ times the mean of $f''$: nodes $h = 0.002$ apart cost nothing that can be seen.

    Args:
        law: The law; its nodes should be finer than quadrature needs.
        rng_key: Random key.
        num_data_sets: Number of data sets.
        size: Examples in each.

    Returns:
        The examples in double precision, shape (num_data_sets, size).

    Examples:
        >>> from ebm_ppl.validation.estimation import line, normal_density
        >>> law = GridLaw.of(normal_density(4.0), line(16.0, 0.002))
        >>> data = draw_data_sets(law, jax.random.key(0), 3, 100)
        >>> data.shape, str(data.dtype)
        ((3, 100), 'float64')
    """
    check_count("num_data_sets", num_data_sets)
    check_count("size", size)
    edges = np.append(law.nodes, law.nodes[-1] + law.step) - law.step / 2
    below = np.concatenate([[0.0], np.cumsum(law.mass)])
    with float64():
        uniform = jax.random.uniform(rng_key, (num_data_sets, size), dtype=jnp.float64)
        return _invert(uniform, jnp.asarray(below / below[-1]), jnp.asarray(edges))


_invert = jit_lightly(jnp.interp)


def estimate_all(
    estimator: Callable[[Any], Float[Array, " p"]], inputs: Any, *, batch_size: int = 50
) -> Estimates:
    """One estimate for each data set, in double precision and one compiled program.

    Args:
        estimator: Maps one data set to its estimate; JAX can trace it. If it takes more than the data,
            such as a random key or noise, it takes a tuple.
        inputs: The data sets, or a tuple of arrays, along a first axis.
        batch_size: Data sets that are worked on at a time, which bounds the memory.

    Returns:
        The estimates, shape (r, p).

    Raises:
        ValueError: If an estimate is not finite: leaving it out would flatter the estimator.
    """
    check_count("batch_size", batch_size)
    with float64():
        program = jit_lightly(lambda tree: jax.lax.map(estimator, tree, batch_size=batch_size))
        estimates = np.asarray(program(inputs))
    if not np.all(np.isfinite(estimates)):
        broken = int(np.sum(~np.all(np.isfinite(estimates), axis=1)))
        raise ValueError(f"`estimator` must give finite estimates; {broken} data sets gave none.")
    return estimates


@dataclasses.dataclass(frozen=True)
class MeasuredEfficiency:
    """An efficiency found by simulation.

    Attributes:
        value: The efficiency.
        error: Its Monte Carlo standard error.
        num_data_sets: Number of data sets behind it.
    """

    value: float
    error: float
    num_data_sets: int

    def errors_from(self, expected: float) -> float:
        """Distance from an expected efficiency in Monte Carlo errors, positive if above it."""
        return (self.value - expected) / self.error


def measured_efficiency(
    estimates: Estimates,
    truth: Parameters,
    information: Float[np.ndarray, "p p"],
    size: int,
    control: Estimates | None = None,
) -> MeasuredEfficiency:
    r"""Efficiency $p / \bar t$ with $t_r = n (\hat\theta_r - \theta)^\top I (\hat\theta_r - \theta)$.

    The error is the delta method's. For maximum likelihood $t$ has mean $p$ for large $n$, so its
    estimates of the same data sets serve as a control variate: an estimator that nearly equals them
    has an efficiency that is known far better than the spread of $t$ alone would allow.

    Args:
        estimates: One estimate a data set, shape (r, p); parameters beyond the truth's are left out.
        truth: The true parameter $\theta$, shape (p,).
        information: Fisher information $I$ of one example.
        size: Examples $n$ in each data set.
        control: Maximum likelihood estimates of the same data sets, shape (r, p).

    Returns:
        The efficiency with its Monte Carlo error.
    """
    check_count("size", size)
    check_shape("information", information, (len(truth), len(truth)))
    distances = _distances(estimates, truth, information, size)
    if control is not None:
        check_shape("control", control, (len(estimates), len(truth)))
        reference = _distances(control, truth, information, size)
        joint = np.cov(distances, reference)
        distances = distances - joint[0, 1] / joint[1, 1] * (reference - len(truth))
    mean = float(np.mean(distances))
    error = float(np.std(distances, ddof=1) / np.sqrt(len(distances)))
    value = len(truth) / mean
    return MeasuredEfficiency(value, value * error / mean, len(distances))


def _distances(
    estimates: Estimates, truth: Parameters, information: np.ndarray, size: int
) -> np.ndarray:
    errors = estimates[:, : len(truth)] - truth
    return size * np.einsum("ri,ij,rj->r", errors, information, errors)
