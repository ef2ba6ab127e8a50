"""Mean, standard deviation, their Monte Carlo error, effective sample size and R-hat, in one pass."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy import special

from ebm_ppl.streaming._base import AbstractReduction
from ebm_ppl.streaming._moments import Moments, chain_moments


class SummaryResult(NamedTuple):
    r"""What a run says of a quantity. Fields have the shape of the quantity.

    Attributes:
        mean: Mean over all draws of all chains.
        sd: Standard deviation over all draws of all chains.
        mcse: Monte Carlo standard error of the mean.
        ess: Effective sample size of the mean, $s^2 / \mathrm{mcse}^2$.
        r_hat: Split R-hat; without the ranks of Vehtari et al. (2021), which no single pass can know.
    """

    mean: Float[np.ndarray, "..."]
    sd: Float[np.ndarray, "..."]
    mcse: Float[np.ndarray, "..."]
    ess: Float[np.ndarray, "..."]
    r_hat: Float[np.ndarray, "..."]


_LEVEL = 1e-3
"""Probability with which the means of chains that agree are found too far apart."""


class _Total(NamedTuple):
    halves: tuple[Moments, ...]
    """Of each chain, in the first half of the run and in the second."""
    batches: Moments
    """Of the batch means of all chains, each counted by the length of its batch."""
    num_batches: int


class Summary(AbstractReduction):
    r"""Mean, standard deviation, Monte Carlo error, effective sample size and R-hat of a quantity.

    The error comes from batch means: with $a$ batches in all, the chunks of all chains, of $b_k$ draws with
    mean $\bar y_k$ and with $n = \sum b_k$ draws of mean $\bar y$,

    $$\mathrm{mcse}^2 = \frac{1}{n} \cdot \frac{1}{a - 1} \sum_{k=1}^{a} b_k (\bar y_k - \bar y)^2.$$

    It is consistent as chunks grow in length and number, has a relative error of about
    $1 / \sqrt{2 (a - 1)}$, and is too small where a chunk is not much longer than the draws are correlated.
    Where the means of chains are further apart than the chunks explain (an F test, at a level of one in a
    thousand), the error is that of the mean of so many chains instead. R-hat compares the halves of chains.

    Args:
        of: Function of one draw to an array or a pytree of arrays; the draw itself by default.

    References:
        Flegal & Jones (2010). Batch means and spectral variance estimators in Markov chain Monte Carlo.
        Annals of Statistics 38.
        Gupta & Vats (2020). Estimating Monte Carlo variance from multiple Markov chains. arXiv 2007.04229.
        Gelman, Carlin, Stern, Dunson, Vehtari & Rubin (2013). Bayesian Data Analysis, Section 11.4.
    """

    def partial(self, values: Any) -> Any:
        """Moments of each chain."""
        return jax.tree.map(chain_moments, values)

    def merge(self, total: Any, partial: Any, is_second_half: bool) -> Any:
        """Add a chunk to the moments of its half, and its means to the batch means."""
        chunks, structure = jax.tree.flatten(partial, is_leaf=_is_moments)
        totals = [None] * len(chunks) if total is None else total[0]
        pairs = zip(totals, chunks, strict=True)
        return [_add(before, chunk, is_second_half) for before, chunk in pairs], structure

    def result(self, total: Any) -> Any:
        """A `SummaryResult` for each leaf of what `of` returns."""
        totals, structure = total
        return jax.tree.unflatten(structure, [_summarise(leaf) for leaf in totals])


def _is_moments(node: Any) -> bool:
    return isinstance(node, Moments)


def _add(before: _Total | None, chunk: Moments, is_second_half: bool) -> _Total:
    chunk = Moments(*(np.asarray(part, np.float64) for part in chunk))
    centre, num_chains = chunk.mean.mean(axis=0), len(chunk.mean)
    spread = chunk.count * ((chunk.mean - centre) ** 2).sum(axis=0)
    means = Moments(chunk.count * num_chains, centre, spread)
    if before is None:
        return _Total((chunk,), means, num_chains)
    halves = list(before.halves)
    if len(halves) > is_second_half:
        halves[-1] = halves[-1].join(chunk)
    else:
        halves.append(chunk)
    return _Total(tuple(halves), before.batches.join(means), before.num_batches + num_chains)


def _summarise(total: _Total) -> SummaryResult:
    split = [
        Moments(half.count, half.mean[i], half.squares[i])
        for half in total.halves
        for i in range(len(half.mean))
    ]
    everything = split[0]
    for part in split[1:]:
        everything = everything.join(part)
    with np.errstate(divide="ignore", invalid="ignore"):  # of a quantity that is constant
        within = np.mean([part.squares / (part.count - 1) for part in split], axis=0)
        length = np.mean([part.count for part in split])
        between = np.var([part.mean for part in split], axis=0, ddof=1)
        variance = everything.squares / (everything.count - 1)
        mcse_squared = _squared_error(total, everything)
        return SummaryResult(
            mean=everything.mean,
            sd=np.sqrt(variance),
            mcse=np.sqrt(mcse_squared),
            ess=variance / mcse_squared,
            r_hat=np.sqrt((length - 1) / length + between / within),
        )


def _squared_error(total: _Total, everything: Moments) -> Float[np.ndarray, "..."]:
    """Of batch means, or of the means of chains if those are further apart than batches explain."""
    num_chains = len(total.halves[0].mean)
    of_batches = total.batches.squares / (total.num_batches - 1) / everything.count
    if num_chains == 1:
        return of_batches
    chains = functools.reduce(Moments.join, total.halves)
    of_chains = np.var(chains.mean, axis=0, ddof=1) / num_chains
    among = of_chains * (num_chains - 1) * everything.count
    degrees = total.num_batches - num_chains
    of_batches_alone = (total.batches.squares - among) / degrees / everything.count
    bound = special.fdtri(num_chains - 1, degrees, 1 - _LEVEL)
    return np.where(of_chains > bound * of_batches_alone, of_chains, of_batches)
