"""Scores of anomalies: how far points are from what an energy holds for normal."""

from typing import Any

from jaxtyping import Array, Float

from ebm_ppl._checks import check_choice, check_positive
from ebm_ppl.tasks._inputs import (
    Energy,
    as_conditions,
    as_points,
    check_energy,
    check_values,
    in_chunks,
)
from ebm_ppl.tasks._normalizers import log_z_at
from ebm_ppl.tasks._values import energies, score_norms

METHODS = ("energy", "energy_and_score", "score_norm", "log_density")


def anomaly_score(
    energy: Energy,
    x: Any,
    *,
    method: str = "energy",
    log_z: Any = None,
    radius: Any = None,
    y: Any = None,
    sigma: Any = None,
) -> Float[Array, " num"]:
    r"""Score each point; higher is more anomalous.

    | `method` | score |
    | --- | --- |
    | `"energy"` | $E(x)$ |
    | `"score_norm"` | $\lVert \nabla E(x) \rVert$ |
    | `"energy_and_score"` | $E(x) + r\, \lVert \nabla E(x) \rVert$ |
    | `"log_density"` | $-\log p(x) = E(x) + \log Z$ |

    The energy orders points as the density does. In many dimensions a point of high density may lie
    where the law has no mass: near a sharp peak. Grathwohl et al. (2020) take $-\lVert \nabla \log p(x)
    \rVert$ for an approximate mass, since where there is mass the density changes slowly. The two together
    are the highest energy within a distance $r$ of the point, to first order,

    $$\max_{\lVert u \rVert \le r} E(x + u) = E(x) + r\, \lVert \nabla E(x) \rVert + O(r^2),$$

    in nats, with $r$ in the units of $x$: 0 gives the order of the energy, a large one that of the score's
    norm. $\log Z$ makes scores of several energies comparable; it changes the order under conditions alone.

    Scores have no scale of their own: [`conformal_p_values`][ebm_ppl.tasks.conformal_p_values] turn them into
    alarms at a stated rate.

    Args:
        energy: The energy, conditional or not.
        x: Points, shape `(num, *event_shape)`.
        method: What is scored, as above.
        log_z: $\log Z$ for `"log_density"`: a number, an object with `log_z` (an estimate) or a callable from
            an energy to its $\log Z$; under conditions also one for each point, shape `(num,)`.
        radius: The distance $r$ of `"energy_and_score"`, 1 by default; not for other methods.
        y: Condition of a conditional energy: one for all points, of shape `condition_shape`, or one for each.
        sigma: Level of noise of an energy that has levels: a number, or one for each point.

    Returns:
        Scores, shape `(num,)`; infinite outside the energy's support, where the density is zero.

    Raises:
        ValueError: If an argument has another shape or is outside its bounds, `log_z` is missing for
            `"log_density"`, `log_z` or `radius` is given for another method, or the score of a discrete
            energy is asked for.
        NonFiniteEnergyError: If an energy or a gradient is NaN.

    Examples:
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.tasks import anomaly_score
        >>> energy = Gaussian([0.0], [[4.0]])
        >>> anomaly_score(energy, [[0.0], [4.0]]).tolist()
        [0.0, 2.0]
        >>> anomaly_score(energy, [[0.0], [4.0]], method="energy_and_score").tolist()
        [0.0, 3.0]

    References:
        W. Grathwohl, K.-C. Wang, J.-H. Jacobsen, D. Duvenaud, M. Norouzi and K. Swersky (2020). Your
        classifier is secretly an energy based model and you should treat it like one. *International
        Conference on Learning Representations*, section 5.3.
    """
    check_energy(energy)
    check_choice("method", method, METHODS)
    _check_log_z(method, log_z)
    radius = _radius(method, radius)
    if energy.support.is_discrete and method in ("energy_and_score", "score_norm"):
        raise ValueError(
            "`method` must be 'energy' or 'log_density' for a discrete energy, which has no score; got "
            f"{method!r}."
        )
    points = as_points("x", x, energy.event_shape)
    y, sigma = as_conditions(energy, y, sigma, len(points))
    scores = in_chunks(_PROGRAMS[method], energy, points, y, sigma)
    if method == "log_density":
        scores = scores + log_z_at(log_z, energy, y, sigma, len(points))
    if method == "energy_and_score":
        scores = scores + radius * in_chunks(_PROGRAMS["score_norm"], energy, points, y, sigma)
    check_values(energy, "x", scores)
    return scores


def _check_log_z(method: str, log_z: Any) -> None:
    if method == "log_density" and log_z is None:
        raise ValueError(
            "`log_z` must be given for method='log_density'; got None. The estimators of "
            "`ebm_ppl.partition` give one; method='energy' needs none and orders points alike."
        )
    if method != "log_density" and log_z is not None:
        raise ValueError(f"`log_z` must be None for method={method!r}; got {log_z!r}.")


def _radius(method: str, radius: Any) -> Any:
    if method != "energy_and_score" and radius is not None:
        raise ValueError(f"`radius` must be None for method={method!r}; got {radius!r}.")
    if radius is not None:
        check_positive("radius", radius)
    return 1.0 if radius is None else radius


_PROGRAMS = {
    "energy": energies,
    "energy_and_score": energies,
    "score_norm": score_norms,
    "log_density": energies,
}
"""What each method computes of single points."""
