"""Bridge sampling: the partition function from draws that somebody already has."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval, check_key, check_shape
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._bridge_estimate import estimate_from_bridge
from ebm_ppl.partition._edge import check_inside
from ebm_ppl.partition._estimate import LogPartitionEstimate
from ebm_ppl.partition._judged import judged
from ebm_ppl.partition._lowered import at_resolution, offset
from ebm_ppl.potentials import potential_fn

_FEWEST_DRAWS = 8  # in a chain: half of them fit the proposal, and the rest need an autocorrelation


def bridge_sampling(
    target: AbstractEnergy | Callable[..., Any],
    draws: Any,
    rng_key: PRNGKey,
    *,
    proposal: dist.Distribution | None = None,
    num_proposal_draws: int | None = None,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ from draws of the target and of a proposal that overlaps it.

    With draws $z_i$ of the target $p = e^{-U} / Z$ and $\tilde z_j$ of a proposal $q$, the optimal bridge
    of Meng and Wong solves
    $$Z = \frac{\frac{1}{n_2} \sum_j \frac{e^{-U(\tilde z_j)}}{s_1 e^{-U(\tilde z_j)} + s_2 Z q(\tilde z_j)}}
    {\frac{1}{n_1} \sum_i \frac{q(z_i)}{s_1 e^{-U(z_i)} + s_2 Z q(z_i)}},$$
    where $s_1$ and $s_2$ are the shares of the two effective sample sizes. Both sums have bounded terms, so
    no tail is too heavy, on either side. Draws may be those of anybody's Markov chains: the error counts
    their autocorrelation. It does not know of a mode that no chain has visited.

    Unless given, the proposal is the normal law with the moments of the first half of each chain, and
    only the second half enters the estimate: a proposal fitted to the same draws would flatter itself.
    All of this happens in unconstrained space.

    Args:
        target: An energy, with draws in its support; or a potential function $U$ of an unconstrained
            position, an array or a pytree, such as `numpyro.infer.util.potential_energy` gives for a model.
        draws: Draws of the target with leading axes `(num_chains, num_draws)`, an array or, for a
            potential function, a pytree of arrays, at least 8 draws in a chain.
        rng_key: Random key.
        proposal: A NumPyro law of flat unconstrained positions, event shape `(dim,)`. Give one that was
            fitted to other draws; it is needed for discrete energies.
        num_proposal_draws: Number of draws of the proposal; as many as of the target by default.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate. Its standard error is Frühwirth-Schnatter's relative mean squared error of
        $\hat Z$; its interval is studentised by resampling as many terms of either sum as there are
        effective draws, and nowhere shorter than by Student's law. Diagnostics: `level`; `overlap`,
        $\int p q / (s_1 p + s_2 q)$, which is 1 if proposal and target agree; `ess_target` and
        `ess_proposal`, the effective sample sizes of the two sums, of which `ess` is the smaller.

    Raises:
        ValueError: If shapes do not fit, a number is outside its bounds, or a draw at the edge of the
            support.
        NonFiniteEnergyError: If the target has no density at one of its draws, or is NaN.

    Warns:
        SmallSampleWarning: If either effective sample size is below 10: the laws hardly overlap, or the
            chains hardly move. There is no interval then.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large potentials is more than the statistical error.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.partition import bridge_sampling
        >>> draws = 2.0 * jax.random.normal(jax.random.key(0), (4, 500, 1))  # four chains
        >>> estimate = bridge_sampling(Gaussian([0.0], [[4.0]]), draws, jax.random.key(1))
        >>> log_z = 1.6121  # log(2 sqrt(2 pi))
        >>> (
        ...     abs(estimate.log_z - log_z) < 5 * estimate.std_error,
        ...     estimate.diagnostics["overlap"] > 0.9,
        ... )
        (True, True)

    References:
        X.-L. Meng and W. H. Wong (1996). Simulating ratios of normalizing constants via a simple
        identity: a theoretical exploration. *Statistica Sinica* 6(4), 831-860.
        S. Frühwirth-Schnatter (2004). Estimating marginal likelihoods for mixture and Markov switching
        models using bridge sampling techniques. *The Econometrics Journal* 7(1), 143-167.
        Q. F. Gronau, A. Sarafoglou, D. Matzke, A. Ly, U. Boehm, M. Marsman, D. S. Leslie, J. J. Forster,
        E.-J. Wagenmakers and H. Steingroever (2017). A tutorial on bridge sampling. *Journal of
        Mathematical Psychology* 81, 80-97.
    """
    check_interval("level", level, 0.0, 1.0)
    check_key("rng_key", rng_key)
    potential, positions = _flat_target(target, draws)
    if proposal is None:
        half = positions.shape[1] // 2
        proposal, positions = _fit_normal(positions[:, :half]), positions[:, half:]
    else:
        check_shape("proposal", np.empty(proposal.event_shape), positions.shape[2:])
    num_chains, num_draws, _ = positions.shape
    count = num_chains * num_draws if num_proposal_draws is None else num_proposal_draws
    check_count("num_proposal_draws", count, 2)
    log_ratio, proposal_log_ratio, reference, loss = _log_ratios(
        potential, proposal, positions, rng_key, count
    )
    estimate = estimate_from_bridge(
        np.asarray(log_ratio, np.float64) - float(reference),
        np.asarray(proposal_log_ratio, np.float64) - float(reference),
        level,
    )
    if isinstance(target, AbstractEnergy):
        x = jnp.asarray(draws, dtype=float).reshape(-1, *target.event_shape)
        key_looks = jax.random.fold_in(rng_key, 1)
        return judged(estimate, as_path(target, None), x, key_looks, loss=float(loss))
    return at_resolution(estimate, float(loss))


def _flat_target(target: Any, draws: Any) -> tuple[Any, Float[Array, "num_chains num_draws dim"]]:
    """The potential on flat unconstrained positions, and the draws there."""
    leaves = [jnp.asarray(leaf, dtype=float) for leaf in jax.tree.leaves(draws)]
    leading = {leaf.shape[:2] for leaf in leaves}
    shape = leading.pop() if len(leading) == 1 else ()
    if leading or len(shape) < 2 or shape[1] < _FEWEST_DRAWS:
        raise ValueError(
            "Expected `draws` with leading axes (num_chains, num_draws), the same in every leaf, and at "
            f"least {_FEWEST_DRAWS} draws in a chain; got shapes {[leaf.shape for leaf in leaves]}."
        )
    positions = jax.tree.unflatten(jax.tree.structure(draws), leaves)
    if isinstance(target, AbstractEnergy):
        check_shape("draws (event axes)", np.empty(leaves[0].shape[2:]), target.event_shape)
        check_inside(target, leaves[0])
        target = potential_fn(target)
        positions = jax.vmap(jax.vmap(target.unconstrain))(positions)
    leaves, structure = jax.tree.flatten(positions)
    flat = jnp.concatenate([leaf.reshape(*shape, -1) for leaf in leaves], axis=-1)
    return FlatPotential(target, structure, tuple(leaf.shape[2:] for leaf in leaves)), flat


class FlatPotential(eqx.Module):
    """A potential of a pytree as one of a vector."""

    potential: Any
    structure: Any = eqx.field(static=True)
    shapes: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __call__(self, flat: Float[Array, " dim"]) -> Float[Array, ""]:
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])[:-1]
        parts = jnp.split(flat, ends.tolist())
        leaves = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return self.potential(jax.tree.unflatten(self.structure, leaves))


def _fit_normal(positions: Float[Array, "num_chains num_draws dim"]) -> dist.MultivariateNormal:
    """The normal law with the moments of draws, computed in double precision."""
    points = np.asarray(positions, np.float64).reshape(-1, positions.shape[-1])
    covariance = np.atleast_2d(np.cov(points, rowvar=False))
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ValueError(
            "`draws` must vary in every direction for a normal proposal to be fitted to half of them: "
            f"there are {len(points)} in {positions.shape[-1]} dimensions. Give a `proposal`."
        ) from None
    return dist.MultivariateNormal(
        jnp.asarray(points.mean(0), dtype=float), scale_tril=jnp.asarray(factor, dtype=float)
    )


@eqx.filter_jit
def _log_ratios(
    potential: FlatPotential,
    proposal: dist.Distribution,
    positions: Float[Array, "num_chains num_draws dim"],
    rng_key: PRNGKey,
    count: int,
) -> tuple[Float[Array, "num_chains num_draws"], Float[Array, " count"], Scalar, Scalar]:
    """Log ratios at both kinds of draws of the potential less a reference, that, and its resolution."""
    drawn = jnp.asarray(proposal.sample(rng_key, (count,)), dtype=float)
    energies = jax.vmap(jax.vmap(potential))(positions)
    reference = offset(energies.reshape(-1))

    def log_ratio(energies: Array, z: Array) -> Array:
        return -(energies - reference) - proposal.log_prob(z)

    loss = jnp.finfo(energies.dtype).eps * jnp.mean(jnp.abs(energies))
    ours, theirs = log_ratio(energies, positions), log_ratio(jax.vmap(potential)(drawn), drawn)
    return ours, theirs, reference, loss
