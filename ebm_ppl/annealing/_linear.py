"""The path along which lattices and Boltzmann machines are annealed: their couplings are turned on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Event, PRNGKey, Scalar
from ebm_ppl.annealing._path import AbstractPath
from ebm_ppl.energies import AbstractLatentEnergy, AbstractLinearEnergy, as_parameter
from ebm_ppl.energies._states import StateSpace


class LinearPath(AbstractPath):
    r"""Energies that are linear in their parameters, from independent sites to a given energy.

    The parameters $\theta$ of the energy, couplings and fields, are reached on a straight line from
    $\theta_0$, where couplings are 0 and the sites are in fields of their own,
    $$f_\beta(x) = e^{-E_{(1 - \beta) \theta_0 + \beta \theta}(x)},$$
    so all laws on the way are of one class, and Gibbs sweeps serve everywhere. Ising and Potts models,
    Boltzmann machines and restricted ones are such energies. In fields of 0 all states are alike at
    $\beta = 0$, and $\beta$ is an inverse temperature in the words of physics.

    In a machine with hidden units, which begin as fair coins, they are summed out of the geometric path of
    both layers together. With their log odds $\ell$ and the energy $E(v, 0)$ without them,
    $$f_\beta(v) = e^{-(1 - \beta) E_0(v, 0) - \beta E(v, 0)}
    \prod_j \left(1 + e^{\beta \ell_j(v)}\right).$$

    Args:
        energy: The energy at $\beta = 1$.
        fields: Fields of the sites at $\beta = 0$, one number for all or an array of the shape of the
            energy's own, which its method `uncoupled` tells; 0 by default. In the data's fields, see
            `from_means`, a path begins much nearer to a trained machine than at fair coins.

    Raises:
        TypeError: If `energy` is not linear in its parameters.
        ValueError: If `fields` has another shape or is not finite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.annealing import LinearPath
        >>> from ebm_ppl.energies import Ising, RestrictedBoltzmannMachine
        >>> path = LinearPath(Ising((3, 3), coupling=0.4))
        >>> print(f"{path.log_z_base:.4f}")  # 9 log 2
        6.2383
        >>> path.at(jnp.array(0.5)).coupling
        Array(0.2, dtype=float32)
        >>> machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        >>> path = LinearPath.from_means(machine, [0.5, 0.75])
        >>> print(f"{path.log_z_base:.4f}")  # log 2 + log 4 + log 2
        2.7726

    References:
        R. M. Neal (2001). Annealed importance sampling. *Statistics and Computing* 11, 125-139.
        R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of deep belief networks.
        *ICML* 25, section 4.1.
    """

    _energy: AbstractLinearEnergy
    _start: AbstractLinearEnergy  # parameters at 0, None for those that are 0: most of them, at each step

    def __init__(self, energy: Any, fields: Any = 0.0) -> None:
        _check_linear(energy)
        self._energy = energy
        self._start = eqx.filter(energy.uncoupled(fields), _may_differ_from_zero)

    @classmethod
    def from_means(cls, energy: Any, means: Any) -> "LinearPath":
        """The path that begins at independent sites of two values with the given means.

        Args:
            energy: The energy at the end, of spins or of zeros and ones.
            means: Means of the sites, strictly between their two values: one number for all, or an array of
                the shape of the energy's fields, such as the smoothed means of the data.

        Returns:
            The path.

        Raises:
            TypeError: If `energy` is not linear in its parameters.
            ValueError: If its sites have other than two values, or `means` has another shape than its fields
                or is not within its bounds.
        """
        _check_linear(energy)
        space = StateSpace.of(energy)
        if space is None or set(space.sizes) != {2}:
            raise ValueError(
                f"`energy` must have sites of two values; got the support {energy.support!r}. "
                "`LinearPath(energy, fields)` takes the fields of any."
            )
        lower, upper = space.lowest[0], space.lowest[0] + space.step
        # In NumPy: under `jit` a comparison by JAX would be traced, whatever it compares.
        if not is_traced(means):
            values = np.asarray(means, np.float64)
            if not np.all((values > lower) & (values < upper)):
                raise ValueError(f"`means` must be within ({lower}, {upper}); got {means!r}.")
        share = (as_parameter(means) - lower) / space.step
        return cls(energy, jax.scipy.special.logit(share) / space.step)

    @property
    def energy(self) -> AbstractLinearEnergy:
        """The energy at the end of the path."""
        return self._energy

    @property
    def base(self) -> AbstractLinearEnergy:
        """The energy at the beginning of the path, without couplings."""
        return self._combined(lambda start, end: jnp.zeros_like(end) if start is None else start)

    @property
    def log_z_base(self) -> Scalar:
        """Log partition function of independent sites."""
        return self.base.log_z_uncoupled

    def sample_base(self, rng_key: PRNGKey, count: int) -> Float[Array, "count *event"]:
        """Draw independent sites: by one sweep, since there are no couplings, from wherever it begins."""
        base = self.base
        somewhere = base.support.feasible_like(jnp.zeros(base.event_shape))
        start = jnp.asarray(somewhere, dtype=float)
        keys = jax.random.split(rng_key, count)
        return jax.vmap(lambda key: base.gibbs_sweep(key, start))(keys)

    def at(self, inverse_temperature: Scalar) -> AbstractLinearEnergy:
        r"""The energy with parameters $(1 - \beta) \theta_0 + \beta \theta$."""

        def between(start: Array | None, end: Array) -> Array:
            share = inverse_temperature.astype(end.dtype)
            return share * end if start is None else (1 - share) * start + share * end

        return self._combined(between)

    def log_ratio(self, x: Event, start: Scalar, end: Scalar) -> Scalar:
        r"""Log weight of a step, without cancellation.

        It is $-(\beta' - \beta) E_{\theta - \theta_0}(x)$, of the visible sites alone where there are hidden
        units. The log odds of these are computed at the larger $\beta$, and scale from there: going up, that
        is where the next sweep needs them too, and the compiler computes them once.
        """
        difference = self._combined(lambda start, end: end if start is None else end - start)
        if not isinstance(difference, AbstractLatentEnergy):
            return -(end - start) * difference(x)
        upper = jnp.maximum(start, end)
        at_upper = self.at(upper)
        assert isinstance(at_upper, AbstractLatentEnergy)  # for the type checker
        logits = at_upper.hidden_logits(x)
        softplus = jax.nn.softplus
        hidden = softplus(logits * (end / upper)) - softplus(logits * (start / upper))
        return -(end - start) * difference.visible_energy(x) + jnp.sum(hidden)

    def _combined(self, combine: Any) -> AbstractLinearEnergy:
        """The energy whose parameters are combined of those at the start and at the end."""
        end, rest = eqx.partition(self._energy, eqx.is_inexact_array)

        def of_leaf(end: Any, start: Any) -> Any:
            return None if end is None else combine(start, end)

        combined = jax.tree.map(of_leaf, end, self._start, is_leaf=lambda leaf: leaf is None)
        return eqx.combine(combined, rest)


def _may_differ_from_zero(leaf: Any) -> bool:
    return eqx.is_inexact_array(leaf) and (is_traced(leaf) or bool(np.any(np.asarray(leaf))))


def _check_linear(energy: Any) -> None:
    if not isinstance(energy, AbstractLinearEnergy):
        raise TypeError(
            "`energy` must be an AbstractLinearEnergy, such as Ising, Potts, BoltzmannMachine or "
            f"RestrictedBoltzmannMachine; got {type(energy).__name__}. GeometricPath takes any energy."
        )
