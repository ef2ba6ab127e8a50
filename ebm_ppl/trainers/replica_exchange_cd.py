"""Contrastive divergence with replica exchange: persistent chains that cross between modes when heated."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey
from ebm_ppl.annealing import exchange_pairs
from ebm_ppl.energies import AbstractBlockwiseEnergy
from ebm_ppl.energies._described import described
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import BlockGibbs
from ebm_ppl.trainers._base import AbstractObjective, Model, Prepared
from ebm_ppl.trainers._batch import Batch, energies_of
from ebm_ppl.trainers._derivatives import energy_gradients
from ebm_ppl.trainers._minibatch import random_rows
from ebm_ppl.trainers.persistent_cd import covariance, negatives


class ReplicaExchangeCD(AbstractObjective):
    r"""Persistent contrastive divergence by block Gibbs sweeps of replicas that exchange their states.

    Beside each chain at the parameters $\theta$ there are replicas at $\beta_r \theta$ for scales
    $0 \le \beta_1 < \dots < \beta_R = 1$. A step sweeps all of them and proposes to exchange the states of
    neighbours, of every other pair in turn, which is accepted with probability
    $$\min\left(1, \exp\left(E_r(x_r) + E_{r+1}(x_{r+1}) - E_r(x_{r+1}) - E_{r+1}(x_r)\right)\right),
    \qquad E_r = E_{\beta_r \theta}.$$
    So the joint law of all replicas is invariant. Of a Boltzmann machine, an Ising or a Potts model that is a
    temperature of $1 / \beta$; at $\beta = 0$ all states are alike. The parameters follow the gradient of
    $$\ell_i(\theta) = E_\theta(x_i) - \frac1m \sum_{j=1}^m E_\theta(x^-_j)$$
    with the chains at $\beta = 1$ held fixed. Where plain chains no longer cross between modes,
    persistent contrastive divergence unlearns what it has learned; chains that reach the other modes through
    hotter replicas keep the modes' weights right.

    Args:
        scales: Scales $\beta_r$ in rising order, of which the last is 1; or a number of replicas, whose
            scales are evenly spaced from 0.
        num_steps: Number of sweeps in each step, each followed by an exchange.
        num_chains: Number $m$ of chains, each with all replicas.

    Raises:
        ValueError: If a number is not positive or the scales do not rise to 1; when the fit begins, if the
            energy is no discrete `AbstractBlockwiseEnergy`.

    Examples:
        >>> from ebm_ppl import ReplicaExchangeCD
        >>> ReplicaExchangeCD(scales=3, num_chains=50).scales
        (0.0, 0.5, 1.0)

    References:
        Desjardins, Courville, Bengio, Vincent & Delalleau (2010). Tempered Markov chain Monte Carlo for
        training of restricted Boltzmann machines. Artificial Intelligence and Statistics 13.
        Fischer & Igel (2010). Empirical analysis of the divergence of Gibbs sampling based learning
        algorithms for restricted Boltzmann machines. International Conference on Artificial Neural
        Networks 20.
    """

    consistent = True
    is_criterion = False

    scales: tuple[float, ...] = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)
    num_chains: int = eqx.field(static=True)

    def __init__(self, scales: Any = 10, num_steps: int = 1, num_chains: int = 100) -> None:
        if np.ndim(scales) == 0:
            check_count("scales", scales, 2)
            scales = np.linspace(0.0, 1.0, scales)
        check_finite("scales", scales)
        values = np.asarray(scales, np.float64)
        rises = values.ndim == 1 and len(values) > 1 and np.all(np.diff(values) > 0)
        if not (rises and values[0] >= 0 and values[-1] == 1):
            raise ValueError(f"`scales` must rise from at least 0 to 1; got {scales!r}.")
        self.scales = tuple(values.tolist())
        check_count("num_steps", num_steps)
        check_count("num_chains", num_chains)
        self.num_steps = num_steps
        self.num_chains = num_chains

    def init(self, energy: Any, data: Batch, rng_key: PRNGKey) -> tuple[None, Array]:
        """Start all replicas of a chain at one example, shape `(num_replicas, num_chains, *event)`."""
        is_discrete = isinstance(energy, AbstractBlockwiseEnergy) and energy.support.is_discrete
        if not is_discrete:
            raise ValueError(
                f"`energy` must be a discrete AbstractBlockwiseEnergy for {self.name}; got "
                f"{described(energy)}. Take `PersistentCD`."
            )
        rows = random_rows(fast_key(rng_key), data.num_examples, self.num_chains)
        return None, jnp.broadcast_to(data.x[rows], (len(self.scales), *data.x[rows].shape))

    def prepare(
        self, model: Model, batch: Batch, carried: Array, step: Array, rng_key: PRNGKey
    ) -> Prepared:
        """Sweep and exchange; the sample is where the chains at the model's own parameters stand then."""
        replicas = self._replicas(model.energy)

        def advance(x: Array, inputs: tuple[Array, PRNGKey]) -> tuple[Array, Array]:
            number, key = inputs
            key_sweep, key_exchange = jax.random.split(key)
            keys = jax.random.split(key_sweep, len(self.scales))
            x = jax.vmap(_sweep)(replicas, keys, x)
            return _exchange(replicas, x, number % 2, key_exchange)

        numbers = step * self.num_steps + jnp.arange(self.num_steps)
        keys = jax.random.split(fast_key(rng_key), self.num_steps)
        if self.num_steps == 1:
            carried, accept_prob = advance(carried, (numbers[0], keys[0]))
        else:
            carried, accept_prob = jax.lax.scan(advance, carried, (numbers, keys))
        ends = carried[-1]
        gap = -jnp.mean(self.losses(model, batch, ends))
        metrics = {"accept_prob": jnp.mean(accept_prob), "energy_gap": gap}
        return Prepared(ends, carried, metrics)

    def chains(self, carried: Array) -> Array:
        """The chains at the model's own parameters."""
        return carried[-1]

    def losses(
        self, model: Model, batch: Batch, sample: Float[Array, "num_chains *event"]
    ) -> Float[Array, " num_examples"]:
        """Energy of each example less the mean energy of all chains."""
        negative = energies_of(model.energy, negatives(batch, sample))
        return energies_of(model.energy, batch) - jnp.mean(negative)

    def sensitivity(
        self,
        gradients: Float[Array, "num_examples p"],
        model: Model,
        batch: Batch,
        sample: Float[Array, "num_chains *event"],
    ) -> Float[Array, "p p"]:
        r"""$\operatorname{Cov}(\nabla_\theta E)$ under the model, from the chains."""
        return covariance(energy_gradients(model, negatives(batch, sample)))

    def _replicas(self, energy: Any) -> Any:
        """The energy at all scales of its parameters, stacked along a leading axis."""
        scales = jnp.asarray(self.scales)

        def scaled(leaf: Array) -> Array:
            return scales.astype(leaf.dtype).reshape(-1, *[1] * leaf.ndim) * leaf

        parameters, constants = eqx.partition(energy, eqx.is_inexact_array)
        return eqx.combine(jax.tree.map(scaled, parameters), constants)


def _sweep(energy: Any, rng_key: PRNGKey, x: Array) -> Array:
    # One draw for all chains: of ten replicas with 16 units and 100 chains, a key for each, as `Moves` takes
    # them, made steps slower by a sixth; with 784 units it made no difference.
    return BlockGibbs(potential_fn=potential_fn(energy)).sweep_all(rng_key, x, 1)


def _exchange(replicas: Any, x: Array, parity: Array, rng_key: PRNGKey) -> tuple[Array, Array]:
    """Exchange neighbours, the pairs that begin at even or at odd replicas; the mean acceptance too."""
    energies = jax.vmap(lambda energy, points: jax.vmap(energy)(points))
    here = energies(replicas, x)
    colder = jax.tree.map(lambda leaf: leaf[1:], replicas)
    hotter = jax.tree.map(lambda leaf: leaf[:-1], replicas)
    gain = here[:-1] + here[1:] - energies(hotter, x[1:]) - energies(colder, x[:-1])
    x, _ = exchange_pairs(rng_key, x, gain, parity)
    return x, jnp.mean(jnp.exp(jnp.minimum(gain, 0.0)))
