"""Settings of the literature on images by name: what each paper does, with the source of each number."""

import dataclasses
import functools

import jax
from jaxtyping import Array, Float

from ebm_ppl._checks import check_interval
from ebm_ppl._types import PRNGKey
from ebm_ppl.samplers import Langevin
from ebm_ppl.trainers.replay_buffer import ReplayBufferCD


@dataclasses.dataclass(frozen=True)
class UniformStarts:
    """Where chains start: every coordinate uniform on an interval.

    Attributes:
        event_shape: Shape of a point.
        low: Lower end of the interval.
        high: Upper end.

    Raises:
        ValueError: If an end is not finite, or `low` is not below `high`.

    Examples:
        >>> import jax
        >>> from ebm_ppl.trainers.recipes import UniformStarts
        >>> UniformStarts((8, 8, 1))(jax.random.key(0), 5).shape
        (5, 8, 8, 1)
    """

    event_shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_interval("low", self.low, -float("inf"), self.high)
        check_interval("high", self.high, self.low, float("inf"))

    def __call__(self, rng_key: PRNGKey, num_points: int) -> Float[Array, "num_points *event"]:
        """Draw starts.

        Args:
            rng_key: Random key.
            num_points: How many.

        Returns:
            Points, shape `(num_points, *event_shape)`.
        """
        shape = (num_points, *self.event_shape)
        return jax.random.uniform(rng_key, shape, minval=self.low, maxval=self.high)


def du_mordatch(event_shape: tuple[int, ...], buffer_size: int = 10_000) -> ReplayBufferCD:
    r"""The negative phase of Du and Mordatch (2019), for pixels in [0, 1].

    The numbers are those of the command for CIFAR-10 in the authors' code: 60 moves
    $x - 10 \max(-0.01, \min(0.01, \nabla E))$ with noise of standard deviation 0.005, every pixel kept in
    [0, 1]; starts uniform there, a chain begun afresh with probability 0.05; the penalty
    $E(x^+)^2 + E(x^-)^2$ of weight 1. The effective temperature is $0.005^2 / 20 = 1.25 \times 10^{-6}$.
    The code adds a move's noise before its gradient, and the buffer there (10,000 chains in the paper, 50,000
    in the code) is read at random and filled in turn; here a slot is a chain, see `ReplayBufferCD`. The
    optimiser beside it is Adam of rate 3e-4 with `b1=0`, for batches of 128.

    Args:
        event_shape: Shape of an image.
        buffer_size: Number of chains.

    Returns:
        The objective.

    Raises:
        ValueError: If `buffer_size` is not positive.

    Examples:
        >>> from ebm_ppl.trainers import recipes
        >>> objective = recipes.du_mordatch((28, 28, 1))

    References:
        Y. Du and I. Mordatch (2019). Implicit generation and modeling with energy based models. *Advances
        in Neural Information Processing Systems* 32, algorithm 1; and its code, `ebm_code_release`.
    """
    kernel = functools.partial(
        Langevin, step_size=10.0, noise_scale=0.005, max_gradient=0.01, box=(0.0, 1.0)
    )
    starts = UniformStarts(event_shape, 0.0, 1.0)
    return ReplayBufferCD(kernel, 60, buffer_size, 0.05, starts, energy_penalty=1.0)


def nijkamp(event_shape: tuple[int, ...], num_chains: int = 100) -> ReplayBufferCD:
    r"""Short runs from noise of Nijkamp, Hill, Han, Zhu and Wu (2020), for pixels in [-1, 1].

    The numbers are those of `cifar10_nonconvergent.json` in the authors' code: 150 moves $x - \nabla E$ with
    noise of standard deviation 0.01, all chains started afresh at each step, uniform on [-1, 1]; nothing is
    clipped, kept in a box or penalised. The network there is $\epsilon^2 / 2$ times the energy, so that the
    latter is sampled at a temperature of 1, and the network, which is $E$ here, at $0.01^2 / 2 = 5 \times
    10^{-5}$. The data have noise of standard deviation 0.03 (`fit`'s `transform` adds it), and the optimiser
    beside it is Adam of rate 1e-4, for batches of 100.

    Args:
        event_shape: Shape of an image.
        num_chains: Number of chains of a step, at most as many as the batch has examples.

    Returns:
        The objective.

    Raises:
        ValueError: If `num_chains` is not positive.

    Examples:
        >>> from ebm_ppl.trainers import recipes
        >>> objective = recipes.nijkamp((32, 32, 3))

    References:
        E. Nijkamp, M. Hill, T. Han, S.-C. Zhu and Y. N. Wu (2020). On the anatomy of MCMC-based maximum
        likelihood learning of energy-based models. *AAAI* 34; and its code, `ebm-anatomy`.
    """
    kernel = functools.partial(Langevin, step_size=1.0, noise_scale=0.01)
    return ReplayBufferCD(kernel, 150, num_chains, 1.0, UniformStarts(event_shape))


def grathwohl(event_shape: tuple[int, ...], buffer_size: int = 10_000) -> ReplayBufferCD:
    r"""The negative phase of Grathwohl et al. (2020), for pixels in [-1, 1].

    The numbers are the defaults of the authors' code: 20 moves $x - \nabla E$ with noise of standard
    deviation 0.01, a buffer of 10,000 chains that start uniform on [-1, 1], and a chain begun afresh with
    probability 0.05; nothing is clipped, kept in a box or penalised. The effective temperature is
    $0.01^2 / 2 = 5 \times 10^{-5}$. The data have noise of standard deviation 0.03 (`fit`'s `transform` adds
    it), and the optimiser beside it is Adam of rate 1e-4, for batches of 64.

    Args:
        event_shape: Shape of an image.
        buffer_size: Number of chains.

    Returns:
        The objective.

    Raises:
        ValueError: If `buffer_size` is not positive.

    Examples:
        >>> from ebm_ppl.trainers import recipes
        >>> objective = recipes.grathwohl((32, 32, 3))

    References:
        W. Grathwohl, K.-C. Wang, J.-H. Jacobsen, D. Duvenaud, M. Norouzi and K. Swersky (2020). Your
        classifier is secretly an energy based model and you should treat it like one. *International
        Conference on Learning Representations*; and its code, `JEM`.
    """
    kernel = functools.partial(Langevin, step_size=1.0, noise_scale=0.01)
    return ReplayBufferCD(kernel, 20, buffer_size, 0.05, UniformStarts(event_shape))
