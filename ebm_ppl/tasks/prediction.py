"""Which class a point belongs to, by the energies of all classes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ebm_ppl._checks import check_finite, check_shape
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy
from ebm_ppl.energies._conditions import check_all_given
from ebm_ppl.tasks._inputs import as_points, check_conditional, check_values, in_chunks
from ebm_ppl.tasks._normalizers import log_z_at


class Prediction(NamedTuple):
    """Classes of points.

    Attributes:
        labels: The most probable class of each point, as its place among the classes, shape `(num,)`.
        log_probs: Log probability of each class, shape `(num, num_classes)`.
    """

    labels: Int[Array, " num"]
    log_probs: Float[Array, "num classes"]

    @property
    def probs(self) -> Float[Array, "num classes"]:
        """Probability of each class, shape `(num, num_classes)`."""
        return jnp.exp(self.log_probs)

    @property
    def confidence(self) -> Float[Array, " num"]:
        """Probability of the most probable class, shape `(num,)`."""
        return jnp.exp(jnp.max(self.log_probs, axis=1))


def predict(
    energy: AbstractConditionalEnergy,
    x: Any,
    classes: Any,
    *,
    log_z: Any,
    log_prior: Any = None,
    sigma: Any = None,
) -> Prediction:
    r"""Predict the class of each point, with probabilities.

    By Bayes' rule, from a law of points for each class $y$ or from a joint law,

    $$P(y \mid x) \propto P(y)\, \frac{e^{-E(x \mid y)}}{Z(y)} \qquad \text{or} \qquad
    P(y \mid x) \propto e^{-E(x, y)}.$$

    $Z(y)$ differs from class to class, and a class whose $\log Z$ is left out wins or loses by it. A joint
    energy $E(x, y)$ has one $Z$ for all, which drops out, and its own prior: write it as a conditional energy
    whose `_energy` is $E(x, y)$, and say `log_z=0.0`.

    Args:
        energy: The energy $E(x \mid y)$ or $E(x, y)$.
        x: Points, shape `(num, *event_shape)`.
        classes: The condition that stands for each class, shape `(num_classes, *condition_shape)`, such as
            `jnp.eye(10)` for one-hot vectors.
        log_z: $\log Z(y)$ of each class, shape `(num_classes,)`; a callable from an energy to its $\log Z$,
            such as `QuadratureNormalizer`; or a number where all are equal.
        log_prior: $\log P(y)$ of each class, up to a constant, shape `(num_classes,)`; `None` for equal ones.
        sigma: Level of noise of an energy that has levels, a number.

    Returns:
        The most probable class and the probabilities of all.

    Raises:
        ValueError: If an argument has another shape or is outside its bounds, `log_z` is `None`, or a
            point lies outside the energy's support.
        NonFiniteEnergyError: If an energy is NaN.

    Examples:
        >>> from ebm_ppl.energies import ConditionalGaussian
        >>> from ebm_ppl.tasks import predict
        >>> energy = ConditionalGaussian(
        ...     [[2.0]], [-1.0], [[1.0]]
        ... )  # N(-1, 1) given 0, N(1, 1) given 1
        >>> found = predict(energy, [[-2.0], [0.0]], classes=[[0.0], [1.0]], log_z=0.0)
        >>> found.labels.tolist(), [round(p, 3) for p in found.probs[:, 0].tolist()]
        ([0, 0], [0.982, 0.5])

    References:
        W. Grathwohl, K.-C. Wang, J.-H. Jacobsen, D. Duvenaud, M. Norouzi and K. Swersky (2020). Your
        classifier is secretly an energy based model and you should treat it like one. *International
        Conference on Learning Representations*, equation 4.
    """
    check_conditional(energy)
    points = as_points("x", x, energy.event_shape)
    conditions = as_points("classes", classes, energy.condition_shape or ())
    if len(conditions) < 2:
        raise ValueError(f"`classes` must hold at least 2 conditions; got {len(conditions)}.")
    check_all_given(energy, conditions[0], sigma)
    log_weights = _log_weights(energy, conditions, sigma, log_z, log_prior)
    program_of = energy, conditions, None if sigma is None else jnp.asarray(sigma, dtype=float)
    energies = in_chunks(_class_energies, program_of, points)
    check_values(energy, "x", energies.sum(axis=1))
    _check_inside(energies)
    log_probs = jax.nn.log_softmax(log_weights - energies, axis=1)
    return Prediction(jnp.argmax(log_probs, axis=1), log_probs)


def _log_weights(
    energy: AbstractConditionalEnergy, conditions: Array, sigma: Any, log_z: Any, log_prior: Any
) -> Float[Array, "..."]:
    """Log P(y) − log Z(y), of each class or the same for all."""
    if log_z is None:
        raise ValueError(
            "`log_z` must be given, as Z(y) differs from class to class; got None. Estimate it for each "
            "`energy.at(y=...)` with `ebm_ppl.partition`, or say log_z=0.0 for a joint energy E(x, y)."
        )
    num = len(conditions)
    levels = None if sigma is None else jnp.full(num, sigma, dtype=float)
    log_weights = -log_z_at(log_z, energy, conditions, levels, num)
    if log_prior is None:
        return log_weights
    check_finite("log_prior", log_prior)
    check_shape("log_prior", log_prior, (num,))
    return log_weights + jnp.asarray(log_prior, dtype=float)


@SharedJit
def _class_energies(
    shared: tuple[AbstractConditionalEnergy, Array, Array | None], points: Array
) -> Float[Array, "num classes"]:
    energy, conditions, sigma = shared

    def one(x: Event, y: Array) -> Scalar:
        law = energy.at(y=y, sigma=sigma)
        return jnp.where(jnp.all(jnp.asarray(law.support(x))), law(x), jnp.inf)

    of_all_classes = jax.vmap(one, in_axes=(None, 0))
    return jax.vmap(of_all_classes, in_axes=(0, None))(points, conditions)


def _check_inside(energies: Float[Array, "num classes"]) -> None:
    outside = np.flatnonzero(np.all(np.isinf(np.asarray(energies)), axis=1))
    if len(outside) > 0:
        raise ValueError(
            "`x` must lie in the energy's support, where some class has a finite energy; "
            f"{len(outside)} of {len(energies)} do not, first `x[{outside[0]}]`."
        )
