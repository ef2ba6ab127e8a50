"""Score matching and maximum likelihood of one data set in bare JAX, to hold a simulation against."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl.validation.estimation.family import Parameters, PolynomialFamily
from ebm_ppl.validation.estimation.grid_law import Nodes

Estimator = Callable[[Float[Array, " n"]], Float[Array, " p"]]

_NEWTON_STEPS = 30


def score_matching_estimator(family: PolynomialFamily) -> Estimator:
    r"""The solution $\hat\theta = \langle T' T'^\top \rangle^{-1} \langle T'' \rangle$ of score matching.

    Args:
        family: The family of energies.

    Returns:
        A function from one data set, shape (n,), to the estimate, shape (p,).

    Examples:
        >>> from ebm_ppl.validation.estimation import GAUSSIAN
        >>> estimate = score_matching_estimator(GAUSSIAN)
        >>> estimate(jnp.array([1.0, 3.0])).round(4).tolist()  # mean 2, variance 1
        [0.5, -2.0]
    """

    def estimate(data: Float[Array, " n"]) -> Float[Array, " p"]:
        slopes = jnp.stack([r * data ** (r - 1) for r in family.powers], axis=1)
        curvature = jnp.stack([r * (r - 1) * _moment(data, r - 2) for r in family.powers])
        return jnp.linalg.solve(slopes.T @ slopes / len(data), curvature)

    return estimate


def maximum_likelihood_estimator(
    family: PolynomialFamily, start: Parameters, nodes: Nodes
) -> Estimator:
    r"""Maximum likelihood by Newton's method, with expectations by quadrature on the nodes.

    A Newton step of length $\delta$ in the metric of the Fisher information is shortened to $\delta / (1
    + \delta)$, which lets it converge from afar and costs nothing near the end.

    Args:
        family: The family of energies.
        start: Where to start, shape (p,).
        nodes: Equidistant nodes.

    Returns:
        A function from one data set, shape (n,), to the estimate, shape (p,).
    """
    start, statistics = np.asarray(start), family.statistics(nodes)

    def estimate(data: Float[Array, " n"]) -> Float[Array, " p"]:
        observed = jnp.stack([jnp.mean(data**r) for r in family.powers])
        at_nodes = jnp.asarray(statistics, dtype=data.dtype)

        def newton(_: Array, theta: Array) -> Array:
            mass = jax.nn.softmax(-at_nodes @ theta)
            expected = mass @ at_nodes
            centred = at_nodes - expected
            gradient = expected - observed
            step = jnp.linalg.solve((centred.T * mass) @ centred, gradient)
            return theta + step / (1 + jnp.sqrt(jnp.maximum(step @ gradient, 0.0)))

        return jax.lax.fori_loop(0, _NEWTON_STEPS, newton, jnp.asarray(start, dtype=data.dtype))

    return estimate


def _moment(data: Float[Array, " n"], power: int) -> Float[Array, ""]:
    """A moment of the data; the powers below 0 that are asked for have coefficient 0."""
    return jnp.mean(data ** max(power, 0))
