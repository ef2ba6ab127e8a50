"""Conformal p-values: anomaly scores as alarms whose rate on normal points is known."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Float
from scipy import stats

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._types import PRNGKey


def conformal_p_values(
    scores: Any, calibration_scores: Any, *, rng_key: PRNGKey | None = None
) -> Float[np.ndarray, " num"]:
    r"""P-values of points against held-out normal ones, by the rank of their scores.

    With the scores $c_1, \dots, c_n$ of calibration points, a score $s$ has the p-value

    $$p(s) = \frac{1 + \#\{i : c_i \ge s\}}{n + 1}.$$

    If a new point and the calibration points are exchangeable (drawn from one law, and none of them used to
    train the energy), $P(p \le \alpha) \le \alpha$ for every $\alpha$, whatever the energy: an alarm at
    $p \le 0.05$ is false in at most 5% of normal points. Ties count in full, which keeps that
    bound; without ties $p$ is uniform on $\{1/(n+1), \dots, 1\}$. With a key the point's own place
    among its ties is drawn,

    $$p(s) = \frac{\#\{i : c_i > s\} + U\, (1 + \#\{i : c_i = s\})}{n + 1}, \qquad U \sim
    \text{Uniform}(0, 1),$$

    and $p$ is uniform on $(0, 1)$, ties or none.

    The bound is over calibration sets and new points together;
    [`false_alarm_rate`][ebm_ppl.tasks.false_alarm_rate] tells how the rate varies with the calibration set.

    Args:
        scores: Scores of new points, shape `(num,)`, higher for more anomalous ones; infinity is the highest.
        calibration_scores: Scores of normal points that were not trained on, shape `(num_calibration,)`.
        rng_key: Key that breaks ties; `None` to count them in full.

    Returns:
        P-values, shape `(num,)`, in double precision.

    Raises:
        ValueError: If either is empty, has another rank or holds NaN.

    Examples:
        >>> from ebm_ppl.tasks import conformal_p_values
        >>> conformal_p_values([0.5, 2.0, 9.0], [1.0, 2.0, 3.0]).tolist()
        [1.0, 0.75, 0.25]

    References:
        V. Vovk, A. Gammerman and G. Shafer (2005). *Algorithmic Learning in a Random World*, section 2.2.
        S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia (2023). Testing for outliers with conformal
        p-values. *Annals of Statistics* 51, equation 2.
    """
    new = _as_scores("scores", scores)
    calibration = np.sort(_as_scores("calibration_scores", calibration_scores))
    num_calibration = len(calibration)
    as_high = num_calibration - np.searchsorted(calibration, new, side="left")
    if rng_key is None:
        return (1 + as_high) / (num_calibration + 1)
    check_key("rng_key", rng_key)
    higher = num_calibration - np.searchsorted(calibration, new, side="right")
    place = np.asarray(jax.random.uniform(rng_key, new.shape), np.float64)
    return (higher + place * (1 + as_high - higher)) / (num_calibration + 1)


def conformal_threshold(calibration_scores: Any, level: Any) -> float:
    r"""The score above which a point raises an alarm at a level.

    $p(s) \le \alpha$ if and only if $s$ is above the $k$-th largest calibration score, $k = \lfloor \alpha
    (n + 1) \rfloor$.

    Args:
        calibration_scores: Scores of normal points that were not trained on, shape `(num_calibration,)`.
        level: The level $\alpha$, between 0 and 1.

    Returns:
        The threshold; infinity if $k$ is 0, as no score has so small a p-value.

    Raises:
        ValueError: If an argument is outside its bounds.

    Examples:
        >>> from ebm_ppl.tasks import conformal_threshold
        >>> conformal_threshold([1.0, 2.0, 3.0], level=0.5)
        2.0
    """
    calibration = np.sort(_as_scores("calibration_scores", calibration_scores))
    check_interval("level", level, 0.0, 1.0)
    rank = _rank(len(calibration), float(level))
    return float(calibration[-rank]) if rank > 0 else math.inf


class FalseAlarmRate(NamedTuple):
    r"""The law of the rate of false alarms, over calibration sets of one size.

    Attributes:
        num_calibration: Number $n$ of calibration points.
        level: The level $\alpha$.
        rank: Number $k = \lfloor \alpha (n + 1) \rfloor$; 0 if no score can raise an alarm.
    """

    num_calibration: int
    level: float
    rank: int

    @property
    def mean(self) -> float:
        r"""Mean rate, $k / (n + 1)$."""
        return self.rank / (self.num_calibration + 1)

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the rate from one calibration set to another."""
        return math.sqrt(self.mean * (1 - self.mean) / (self.num_calibration + 2))

    def interval(self, probability: Any = 0.95) -> tuple[float, float]:
        """Central interval of the rate.

        Args:
            probability: Share of calibration sets whose rate lies in it.

        Returns:
            Its ends.

        Raises:
            ValueError: If `probability` is not between 0 and 1.
        """
        check_interval("probability", probability, 0.0, 1.0)
        if self.rank == 0:
            return 0.0, 0.0
        law = stats.beta(self.rank, self.num_calibration + 1 - self.rank)
        low, high = law.interval(float(probability))
        return float(low), float(high)

    def num_alarms(self, num: int) -> dist.Distribution:
        """Law of the number of false alarms among normal points.

        Args:
            num: Number of normal points that are scored.

        Returns:
            A beta-binomial law of NumPyro, or a point mass at 0.

        Raises:
            ValueError: If `num` is no count.
        """
        check_count("num", num)
        if self.rank == 0:
            return dist.Delta(0.0)
        return dist.BetaBinomial(
            float(self.rank), float(self.num_calibration + 1 - self.rank), total_count=num
        )


def false_alarm_rate(num_calibration: int, level: Any) -> FalseAlarmRate:
    r"""How the rate of false alarms varies with the calibration set.

    Given the calibration set, the alarms at $p \le \alpha$ have one rate on normal points. Where scores
    have no ties it follows

    $$F \sim \text{Beta}(k,\; n + 1 - k), \qquad k = \lfloor \alpha (n + 1) \rfloor,$$

    whatever the energy and the law of the data, and $m$ normal points raise
    $\text{BetaBinomial}(m; k, n + 1 - k)$ alarms. With ties the rate is stochastically smaller.

    Args:
        num_calibration: Number $n$ of calibration points.
        level: The level $\alpha$, between 0 and 1.

    Returns:
        The law, with its mean, standard deviation and intervals.

    Raises:
        ValueError: If an argument is outside its bounds.

    Examples:
        >>> from ebm_ppl.tasks import false_alarm_rate
        >>> rate = false_alarm_rate(num_calibration=499, level=0.05)
        >>> rate.mean, round(rate.standard_deviation, 4)
        (0.05, 0.0097)

    References:
        V. Vovk (2012). Conditional validity of inductive conformal predictors. *Asian Conference on Machine
        Learning*, proposition 2.
        S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia (2023). Testing for outliers with conformal
        p-values. *Annals of Statistics* 51.
    """
    check_count("num_calibration", num_calibration)
    check_interval("level", level, 0.0, 1.0)
    return FalseAlarmRate(num_calibration, float(level), _rank(num_calibration, float(level)))


def _rank(num_calibration: int, level: float) -> int:
    """The largest number of ranks whose p-value, as a float, is at most the level.

    A product would round the other way now and then: 0.29 * 100 is below 29, and 29 / 100 is 0.29.
    """
    nearest = round(level * (num_calibration + 1))
    return nearest if nearest / (num_calibration + 1) <= level else nearest - 1


def _as_scores(name: str, value: Any) -> Float[np.ndarray, " num"]:
    try:
        scores = np.asarray(value).astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be an array of numbers; got {value!r}.") from None
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"Expected `{name}` of shape (num,) with num >= 1; got {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(
            f"`{name}` must hold no NaN; got {np.isnan(scores).sum()} among {len(scores)}."
        )
    return scores
