r"""A ladder of inverse temperatures, and how warm-up learns it from rejected exchanges.

The rejection $r_k$ between neighbours adds up to the communication barrier
$\Lambda(\beta_k) = \sum_{j < k} r_j$, which hardly depends on the ladder it was measured on. States travel
fastest when all rejections are alike, that is, when $\Lambda$ rises by the same amount at each step (Syed,
Bouchard-Côté, Deligiannidis & Doucet 2022, Sections 4 and 5).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._checks import check_count
from ebm_ppl._trees import tree_where
from ebm_ppl._types import Scalar
from ebm_ppl.annealing import power_schedule
from ebm_ppl.samplers._warmup import MomentsState, merge, no_moments

_ROUNDS = (1, 2, 4, 8, 16, 32)
"""Rounds of warm-up end at so many of its 32nds: each is as long as all before it."""

_NUM_REPLICAS = 8
_POWER = 3.0

_PRIOR_DRAWS = 5.0
"""How many draws of a round the base law before it stands for."""

_LEAST_REJECTION = 1e-3
_LEAST_SHARE = 1e-30


class NormalBase(NamedTuple):
    """A normal base law that warm-up learns; no arrays where it does not."""

    mean: Float[Array, " dim"]
    scale: Float[Array, " dim"]


class LadderState(NamedTuple):
    r"""What all ladders of a run share, and warm-up learns.

    Attributes:
        inverse_temperatures: $0 = \beta_0 < \dots < \beta_N = 1$.
        log_z_steps: Guesses of $\log Z_{k + 1} / Z_k$, about which shares are counted.
        log_z_base: $\log Z_0$.
        base: Of a base law that was not given: mean and scale of one that is learned, the `Cover` of what
            scouts have found, or `()`.
        moments: Moments of the draws of this round, or `()`.
        round_ends: Last iteration of each round of warm-up.
    """

    inverse_temperatures: Float[Array, " levels"]
    log_z_steps: Float[Array, " pairs"]
    log_z_base: Scalar
    base: Any
    moments: Any
    round_ends: Int[Array, " rounds"]

    @property
    def num_warmup(self) -> Int[Array, ""] | int:
        """Number of warm-up iterations."""
        return self.round_ends[-1] + 1 if self.round_ends.size else 0

    def add(self, positions: Float[Array, "chains dim"]) -> "LadderState":
        """The state after some draws, of which a base law that is learned counts the moments."""
        return self._replace(moments=merge(self.moments, positions))


def no_draws(base: Any) -> Any:
    """The moments of no draws, if the base law is one that is learned; else `()`."""
    return no_moments(base.scale) if isinstance(base, NormalBase) else ()


class ExchangeRecord(NamedTuple):
    r"""Means over the exchanges of one ladder since warm-up, or since a round of it began.

    With $f_k = e^{-U_{\beta_k}}$ and the guess $\delta_k$ of $\log Z_{k + 1} / Z_k$,

    $$u_k = \operatorname{E}_k\left[\frac{f_{k+1}}{f_{k+1} + e^{\delta_k} f_k}\right], \qquad
    d_k = \operatorname{E}_{k + 1}\left[\frac{e^{\delta_k} f_k}{f_{k+1} + e^{\delta_k} f_k}\right], \qquad
    \frac{Z_{k+1}}{Z_k} = e^{\delta_k} \frac{u_k}{d_k}$$

    (Bennett 1976).

    Attributes:
        num_attempts: How often each pair of neighbours has proposed to exchange.
        rejection: Mean probability that it did not.
        up: $u_k$.
        down: $d_k$.
        round_trips: How many states have come to $\beta = 1$ after they were at $\beta = 0$.
    """

    num_attempts: Float[Array, "*chains pairs"]
    rejection: Float[Array, "*chains pairs"]
    up: Float[Array, "*chains pairs"]
    down: Float[Array, "*chains pairs"]
    round_trips: Int[Array, "*chains"]

    def add(
        self,
        in_turn: Bool[Array, " pairs"],
        accept_prob: Float[Array, "*chains pairs"],
        up: Float[Array, "*chains pairs"],
        down: Float[Array, "*chains pairs"],
        arrived: Bool[Array, "*chains"],
    ) -> "ExchangeRecord":
        """The record with one more step, in which every other pair took its turn."""
        count = self.num_attempts + in_turn
        weight = in_turn / jnp.maximum(count, 1)

        def follow(mean: Array, value: Array) -> Array:
            # A share that is no number says nothing of the pair; it counts as none.
            value = jnp.where(jnp.isnan(value), 0.0, value)
            return mean + weight * (value - mean)

        return ExchangeRecord(
            count,
            follow(self.rejection, 1 - accept_prob),
            follow(self.up, up),
            follow(self.down, down),
            self.round_trips + arrived,
        )


def no_record(chains: tuple[int, ...], num_pairs: int, dtype: Any) -> ExchangeRecord:
    """The record of nothing."""
    zeros = jnp.zeros((*chains, num_pairs), dtype)
    return ExchangeRecord(zeros, zeros, zeros, zeros, jnp.zeros(chains, int))


def round_ends(num_warmup: int) -> np.ndarray:
    """Last iteration of each round of a warm-up."""
    ends = {num_warmup * share // 32 - 1 for share in _ROUNDS}
    return np.array(sorted(end for end in ends if end >= 0), dtype=int)


def as_ladder(inverse_temperatures: Any, num_replicas: int | None) -> Float[np.ndarray, " levels"]:
    """Read inverse temperatures that rise from 0 to 1.

    Args:
        inverse_temperatures: As given, or `None` for some that lie closer near 0.
        num_replicas: How many, or `None`.

    Returns:
        The ladder.

    Raises:
        ValueError: If they do not rise from 0 to 1, or both arguments disagree.
    """
    if num_replicas is not None:
        check_count("num_replicas", num_replicas, 2)
    if inverse_temperatures is None:
        return power_schedule((num_replicas or _NUM_REPLICAS) - 1, _POWER)
    values = np.asarray(inverse_temperatures, dtype=float)
    rises = values.ndim == 1 and len(values) > 1 and bool(np.all(np.diff(values) > 0))
    if not (rises and values[0] == 0 and values[-1] == 1):
        raise ValueError(f"`inverse_temperatures` must rise from 0 to 1; got {values!r}.")
    if num_replicas not in (None, len(values)):
        raise ValueError(
            f"`num_replicas` must be that of `inverse_temperatures`, {len(values)}; got {num_replicas}."
        )
    return values


def next_ladder(
    ladder: LadderState,
    record: ExchangeRecord,
    is_last: Bool[Array, ""],
    *,
    levels: bool,
    base: bool,
) -> LadderState:
    """The ladder for the next round of warm-up; after the last one only log Z is known better.

    Args:
        ladder: The ladder of this round.
        record: What it has shown, in the mean over chains.
        is_last: Whether this round was the last.
        levels: Whether levels are placed anew.
        base: Whether the base law is learned.

    Returns:
        The new ladder.
    """
    here, steps = ladder.inverse_temperatures, ladder.log_z_steps
    steps = corrected_steps(steps, record.up, record.down)
    if levels:
        all_tried = jnp.all(record.num_attempts > 0)
        placed = equal_rejections(here, record.rejection)
        placed = jnp.where(all_tried & ~is_last, placed, here)
        log_z = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps)])
        steps = jnp.where(is_last, steps, jnp.diff(jnp.interp(placed, here, log_z)))
        ladder = ladder._replace(inverse_temperatures=placed)
    if base:
        fitted = _fitted_base(ladder.base, ladder.moments)
        fitted = tree_where(is_last, ladder.base, fitted)
        moments = jax.tree.map(jnp.zeros_like, ladder.moments)
        ladder = ladder._replace(base=fitted, moments=moments)
    return ladder._replace(log_z_steps=steps)


def _fitted_base(base: NormalBase, moments: MomentsState) -> NormalBase:
    """The normal law with the moments of the draws, and with those before for a few draws more."""
    total = moments.num_positions + _PRIOR_DRAWS
    share = _PRIOR_DRAWS / total
    mean = share * base.mean + (1 - share) * moments.mean
    between = share * (1 - share) * (base.mean - moments.mean) ** 2
    variance = share * base.scale**2 + moments.squared_deviations / total + between
    usable = jnp.all(jnp.isfinite(mean)) & jnp.all(jnp.isfinite(variance))
    fitted = NormalBase(mean, jnp.sqrt(variance))
    return tree_where(usable, fitted, base)


def corrected_steps(
    guesses: Float[Array, " pairs"], up: Float[Array, " pairs"], down: Float[Array, " pairs"]
) -> Float[Array, " pairs"]:
    r"""$\log Z_{k+1} / Z_k$ from shares that were counted about guesses of it."""
    share = jnp.log(jnp.maximum(up, _LEAST_SHARE)) - jnp.log(jnp.maximum(down, _LEAST_SHARE))
    return guesses + share


def equal_rejections(
    inverse_temperatures: Float[Array, " levels"], rejection: Float[Array, " pairs"]
) -> Float[Array, " levels"]:
    r"""The ladder of as many levels on which all rejections would be alike.

    Args:
        inverse_temperatures: The ladder on which they were measured.
        rejection: Mean rejection of each pair of neighbours.

    Returns:
        $\beta(\Lambda)$ at equal distances in $\Lambda$, by monotone cubic interpolation.
    """
    rejection = jnp.maximum(jnp.where(jnp.isfinite(rejection), rejection, 1.0), _LEAST_REJECTION)
    barrier = jnp.concatenate([jnp.zeros_like(rejection[:1]), jnp.cumsum(rejection)])
    wanted = jnp.linspace(0.0, barrier[-1], len(barrier), dtype=barrier.dtype)
    inner = monotone_cubic(barrier, inverse_temperatures, wanted[1:-1])
    return jnp.concatenate([inverse_temperatures[:1], inner, inverse_temperatures[-1:]])


def monotone_cubic(
    x: Float[Array, " n"], y: Float[Array, " n"], at: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Interpolate increasing values by a cubic that increases too.

    Slopes at inner knots are weighted harmonic means of those of the chords beside them (Fritsch & Butland
    1984); at the ends they are those of the chords.

    Args:
        x: Knots, strictly increasing.
        y: Values at the knots, increasing.
        at: Where to interpolate, between the first knot and the last.

    Returns:
        The values there.
    """
    width = jnp.diff(x)
    chord = jnp.diff(y) / width
    left, right = width[:-1] + 2 * width[1:], 2 * width[:-1] + width[1:]
    mean = (left + right) / (left / chord[:-1] + right / chord[1:])  # 0 where a chord is flat
    slope = jnp.concatenate([chord[:1], mean, chord[-1:]])
    cell = jnp.clip(jnp.searchsorted(x, at, side="right") - 1, 0, len(width) - 1)
    t, h = (at - x[cell]) / width[cell], width[cell]
    rise = y[cell + 1] - y[cell]
    return (
        y[cell]
        + rise * t**2 * (3 - 2 * t)
        + h * t * (1 - t) * ((1 - t) * slope[cell] - t * slope[cell + 1])
    )
