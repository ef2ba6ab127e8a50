"""Annealed Langevin sampling of a noise-conditional energy, from strong noise down to weak."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_finite, check_positive, is_traced
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy
from ebm_ppl.energies._conditions import named, notation
from ebm_ppl.samplers.mala import MALA
from ebm_ppl.samplers.moves import Moves


def annealed_langevin(
    energy: AbstractConditionalEnergy,
    noise_scales: Any,
    rng_key: PRNGKey,
    num_samples: int,
    *,
    num_steps: int = 2,
    step_size: float = 0.5,
    transport: bool = True,
    denoise: bool = False,
) -> Float[Array, "num_samples *event"]:
    r"""Draw independently from a noise-conditional energy at its least noise level.

    Points start as noise, $N(0, \sigma_1^2 I)$, and visit the levels $\sigma_1 > \dots > \sigma_L$. At
    each level they take a few Langevin steps $x - \varepsilon \nabla E_\sigma(x) + \sqrt{2 \varepsilon}\,
    \xi$ with $\varepsilon$ proportional to $\sigma^2$, each accepted or refused as in
    [`MALA`][ebm_ppl.samplers.MALA]. No direction of data under noise is stiffer than $1 / \sigma^2$,
    so one ratio $\varepsilon / \sigma^2$ suits every level.

    **Why steps alone are not enough.** As the noise weakens, the barriers between modes rise. Where the
    steps cease to cross them, the weights of the modes freeze, at the values that they have under that
    much noise: a small mode then still holds what noise has carried over from a large one. Waiting at
    these levels helps, exponentially slowly. Between two levels points therefore move along the
    probability flow
    $$\frac{dx}{d\sigma} = \sigma\, \nabla E_\sigma(x),$$
    which carries the law of one level to that of the next, across barriers that no chain would cross,
    by one step of Heun's method. The steps at each level repair what this and the start leave wrong.

    Args:
        energy: The energy $E_\sigma(x)$; its training should have seen levels between those used here. One
            of $E_\sigma(x \mid y)$ is `energy.at(y=...)`.
        noise_scales: Levels $\sigma_1 > \dots > \sigma_L > 0$, such as `jnp.geomspace(10.0, 0.01, 40)`. The
            first has to exceed the distances between modes.
        rng_key: Random key.
        num_samples: Number of points to draw.
        num_steps: Number of Langevin steps at each level; 0 for the flow alone.
        step_size: The ratio $\varepsilon / \sigma^2$.
        transport: Whether points follow the flow between levels; without it this is annealed Langevin
            dynamics as published in 2019, with an acceptance step.
        denoise: Whether to return the means of the points without their noise, $x - \sigma_L^2 \nabla
            E_{\sigma_L}(x)$, instead of draws at the last level.

    Returns:
        The points.

    Raises:
        ValueError: If the energy depends on a condition or on no level of noise, `noise_scales` do not
            decrease or are not positive, or a number is outside its bounds.

    Examples:
        Data from $N(0, 1)$, whose energies are known at every level:

        >>> import jax, jax.numpy as jnp
        >>> from ebm_ppl.energies import AbstractConditionalEnergy
        >>> from ebm_ppl.samplers import annealed_langevin
        >>> from numpyro.distributions import constraints
        >>> class NoisyNormal(AbstractConditionalEnergy):
        ...     event_shape = ()
        ...     condition_shape = None
        ...     noise_conditional = True
        ...     support = constraints.real
        ...     null_condition = None
        ...
        ...     def _energy(self, x, y, sigma):
        ...         return 0.5 * x**2 / (1 + sigma**2)
        >>> scales = jnp.geomspace(10.0, 0.01, 20)
        >>> draws = annealed_langevin(NoisyNormal(), scales, jax.random.key(0), 10_000)
        >>> print(f"{draws.std():.1f}")
        1.0

    References:
        Y. Song and S. Ermon (2019). Generative modeling by estimating gradients of the data distribution.
        *NeurIPS* 32, algorithm 1.
        Y. Song, J. Sohl-Dickstein, D. P. Kingma, A. Kumar, S. Ermon and B. Poole (2021). Score-based
        generative modeling through stochastic differential equations. *ICLR* (predictor and corrector;
        probability flow).
        T. Karras, M. Aittala, T. Aila and S. Laine (2022). Elucidating the design space of diffusion-based
        generative models. *NeurIPS* 35, algorithm 1 (Heun's method).
    """
    if notation(energy) != "E_sigma(x)":
        raise ValueError(
            "`energy` must depend on the point and the level of noise alone, with a condition fixed by "
            f"`at(y=...)`; got {named(energy)}."
        )
    check_count("num_samples", num_samples)
    check_count("num_steps", num_steps, 0 if transport else 1)
    check_positive("step_size", step_size)
    ladder = _as_ladder(noise_scales)
    return _draw(
        energy, ladder, rng_key, jnp.asarray(step_size), num_samples, num_steps, transport, denoise
    )


@eqx.filter_jit
def _draw(
    energy: AbstractConditionalEnergy,
    ladder: Float[Array, " num_levels"],
    rng_key: PRNGKey,
    step_size: Scalar,
    num_samples: int,
    num_steps: int,
    transport: bool,
    denoise: bool,
) -> Float[Array, "num_samples *event"]:
    def draw_one(rng_key: PRNGKey) -> Event:
        key_start, key_levels = jax.random.split(rng_key)
        start = ladder[0] * jax.random.normal(key_start, energy.event_shape, ladder.dtype)

        def descend(x: Event, level: tuple[Scalar, Scalar, PRNGKey]) -> tuple[Event, None]:
            above, sigma, rng_key = level
            if transport:
                x = _flow(energy, x, above, sigma)
            return _walk(energy, x, sigma, rng_key, step_size * sigma**2, num_steps), None

        # The flow from the first level to itself is the identity.
        above = jnp.concatenate([ladder[:1], ladder[:-1]])
        keys = jax.random.split(key_levels, len(ladder))
        x, _ = jax.lax.scan(descend, start, (above, ladder, keys))
        return x - ladder[-1] ** 2 * _gradient(energy, x, ladder[-1]) if denoise else x

    return jax.vmap(draw_one)(jax.random.split(rng_key, num_samples))


def _flow(energy: AbstractConditionalEnergy, x: Event, above: Scalar, below: Scalar) -> Event:
    """One step of Heun's method along the probability flow, from one level down to the next."""
    width = below - above
    slope = above * _gradient(energy, x, above)
    end_slope = below * _gradient(energy, x + width * slope, below)
    return x + 0.5 * width * (slope + end_slope)


def _walk(
    energy: AbstractConditionalEnergy,
    x: Event,
    sigma: Scalar,
    rng_key: PRNGKey,
    step_size: Scalar,
    num_steps: int,
) -> Event:
    """Metropolis-adjusted Langevin steps at one level."""
    if num_steps == 0:
        return x
    moves = Moves(MALA, num_steps, step_size=step_size)
    return moves.run(energy.at(sigma=sigma), x, rng_key)[0]


def _gradient(energy: AbstractConditionalEnergy, x: Event, sigma: Scalar) -> Event:
    return jax.grad(energy.at(sigma=sigma))(x)


def _as_ladder(noise_scales: Any) -> Float[Array, " num_levels"]:
    check_finite("noise_scales", noise_scales)
    ladder = jnp.asarray(noise_scales, dtype=float)
    if ladder.ndim != 1 or ladder.size == 0:
        raise ValueError(f"Expected `noise_scales` of shape (num_levels,); got {ladder.shape}.")
    if not is_traced(ladder) and not bool((ladder[-1] > 0) & (jnp.diff(ladder) < 0).all()):
        raise ValueError(f"`noise_scales` must decrease and stay above 0; got {noise_scales!r}.")
    return ladder
